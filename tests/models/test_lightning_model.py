from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from stbench.errors import DataError
from stbench.models import PatchParams, Savable
from stbench.models.lightning_model import LightningModel
from stbench.models.patch_batches import Batch, PatchBatches, image_batches
from stbench.slides import Slide
from stbench.testing import context, toy_slides


class Pooled(lightning.LightningModule):
    """Mean colour → dropout → one linear layer; keeps what it is given."""

    def __init__(self, n_genes: int, width: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, n_genes)
        )
        self.seen: list[Batch] = []

    def forward(self, images: Tensor) -> Tensor:
        genes: Tensor = self.network(images)
        return genes

    def training_step(self, batch: Batch, index: int) -> Tensor:
        images, target = batch
        self.seen.append((images.clone(), target.clone()))
        return mse_loss(self(images), target)

    def validation_step(self, batch: Batch, index: int) -> None:
        images, target = batch
        self.log("val_loss", mse_loss(self(images), target))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class Params(PatchParams):
    pixels: int = 8
    batch_size: int = 16
    epochs: int = 3
    width: int = 8


class Simple(LightningModel[Params]):
    def module(self, n_genes: int) -> lightning.LightningModule:
        return Pooled(n_genes, self.params.width)


def fitted(
    folder: Path, train: Sequence[Slide], validation: Sequence[Slide] = (), seed: int = 0, **params: Any
) -> Simple:
    model = Simple(Params(**params), context(folder, seed))
    model.fit(train, validation)
    return model


def predicted(model: Simple, slide: Slide) -> np.ndarray:
    return model.predict(slide.without_expression())


def seen(model: Simple) -> list[Batch]:
    assert isinstance(model.network, Pooled)
    return model.network.seen


def global_draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_it_learns_from_the_image(tmp_path: Path) -> None:
    *train, validation, test = toy_slides(tmp_path, patients=5, spots=64)
    model = fitted(tmp_path, train, [validation], epochs=60, width=32)

    error = ((predicted(model, test) - test.target) ** 2).mean()

    mean = np.concatenate([slide.target for slide in train]).mean(0)
    assert error < 0.5 * ((mean - test.target) ** 2).mean()


def test_the_seed_alone_decides_and_global_generators_are_left_alone(tmp_path: Path) -> None:
    *train, validation, test = toy_slides(tmp_path, patients=4)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = global_draws()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)

    first = predicted(fitted(tmp_path, train, [validation]), test)

    assert global_draws() == expected
    np.testing.assert_array_equal(first, predicted(fitted(tmp_path, train, [validation]), test))
    assert not np.allclose(first, predicted(fitted(tmp_path, train, [validation], seed=1), test))


def test_every_epoch_gives_every_spot_once_in_another_order(tmp_path: Path) -> None:
    train = toy_slides(tmp_path, patients=2, spots=33)
    model = fitted(tmp_path, train, epochs=2)

    targets = [target for _, target in seen(model)]
    first, second = torch.cat(targets[:5]), torch.cat(targets[5:])

    assert [len(target) for target in targets] == [14, 13, 13, 13, 13] * 2  # 66 in batches of at most 16
    everything = np.concatenate([slide.target for slide in train])
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch.numpy(), 0), np.sort(everything, 0))
    assert not torch.equal(first, second)


def test_batches_are_images_in_0_to_1_with_their_spots_targets(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2, spots=20)
    batches = PatchBatches(
        slides, pixels=8, microns=80.0, batch_size=16, device="cpu", generator=torch.Generator().manual_seed(0)
    )

    patches = np.concatenate([slide.patches(pixels=8, microns=80.0) for slide in slides])
    target = np.concatenate([slide.target for slide in slides])
    for images, wanted in batches:
        assert images.dtype == torch.float32
        row = np.array([np.flatnonzero((target == one).all(1))[0] for one in wanted.numpy()])
        np.testing.assert_allclose(images.permute(0, 2, 3, 1), patches[row] / 255, atol=1e-6)


def test_patches_are_kept_as_bytes_and_let_go_after_training(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    model = fitted(tmp_path, slides)

    assert PatchBatches(slides, pixels=8, microns=80.0, batch_size=16, device="cpu").patches.dtype == torch.uint8
    with pytest.raises(RuntimeError, match="not attached"):
        _ = model.network.trainer


def test_prediction_reads_a_batch_at_a_time(tmp_path: Path) -> None:
    patches = toy_slides(tmp_path)[0].patches(pixels=8, microns=80.0)

    batches = list(image_batches(patches, 16, "cpu"))

    assert [len(images) for images in batches] == [16, 16, 8]
    np.testing.assert_allclose(torch.cat(batches).permute(0, 2, 3, 1), patches / 255, atol=1e-6)


def test_spots_are_predicted_independently(tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = fitted(tmp_path, train)
    some = np.array([31, 2, 7])

    whole = predicted(model, test)

    assert (whole.dtype, whole.shape) == (np.float32, (40, 6))
    np.testing.assert_allclose(predicted(model, test.subset(some)), whole[some], atol=1e-5)


def test_inputs_are_left_as_they_were(tmp_path: Path) -> None:
    *train, validation = toy_slides(tmp_path, patients=3)
    before = [slide.target.copy() for slide in (*train, validation)]

    fitted(tmp_path, train, [validation])

    for slide, old in zip((*train, validation), before, strict=True):
        np.testing.assert_array_equal(slide.target, old)


class Centred(Simple):
    """Starts at the training mean."""

    def start(self, network: lightning.LightningModule, train: Sequence[Slide]) -> None:
        last = network.network[-1]
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(torch.from_numpy(np.concatenate([slide.target for slide in train]).mean(0)))


def test_a_new_module_can_start_from_the_training_data(tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = Centred(Params(), context(tmp_path))

    model.train_for(0, train)

    mean = np.concatenate([slide.target for slide in train]).mean(0)
    np.testing.assert_allclose(predicted(model, test), np.tile(mean, (test.n_spots, 1)), rtol=1e-5)


def test_training_again_for_fewer_epochs_starts_anew(tmp_path: Path) -> None:
    *train, validation, test = toy_slides(tmp_path, patients=4)
    model = fitted(tmp_path, train, epochs=2)
    expected = predicted(model, test)

    longer = model.train_for(4, train, [validation])
    model.train_for(2, train)

    assert len(longer.losses) == 4
    np.testing.assert_array_equal(predicted(model, test), expected)


@pytest.mark.parametrize("spots", [1, 2, 17])
def test_one_slide_without_validation_is_enough(spots: int, tmp_path: Path) -> None:
    slide = toy_slides(tmp_path, patients=1)[0].subset(np.arange(spots))

    prediction = predicted(fitted(tmp_path, [slide]), slide)

    assert prediction.shape == (spots, 6)
    assert np.isfinite(prediction).all()


def test_the_best_validation_epoch_is_kept(tmp_path: Path) -> None:
    train, validation = toy_slides(tmp_path)
    adata = validation.adata.copy()
    adata.X = -validation.target  # the better on train, the worse here
    lines: list[str] = []
    model = Simple(Params(epochs=12, patience=3), replace(context(tmp_path), report=lines.append))

    model.fit([train], [validation.with_adata(adata)])

    assert len(lines) == 4  # the first is the best, then patience runs out
    loss = ((predicted(model, validation) + validation.target) ** 2).mean()
    assert float(lines[0].split()[-1]) == pytest.approx(loss, rel=1e-4)


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = fitted(tmp_path, train)
    assert isinstance(model, Savable)
    folder = tmp_path / "saved"
    folder.mkdir()

    model.save(folder)
    loaded = Simple(Params(), context(tmp_path))
    loaded.load(folder)

    assert sorted(path.name for path in folder.iterdir()) == ["module.json", "module.safetensors"]
    np.testing.assert_array_equal(predicted(loaded, test), predicted(model, test))
    with pytest.raises(DataError, match="those it was fitted with"):
        Simple(Params(width=4), context(tmp_path)).load(folder)


def test_it_counts_the_weights_that_train(tmp_path: Path) -> None:
    model = fitted(tmp_path, toy_slides(tmp_path))
    total = (3 * 8 + 8) + (8 * 6 + 6)
    assert model.n_parameters == total

    model.network.network[2].requires_grad_(False)

    assert model.n_parameters == 8 * 6 + 6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_gpu_patches_stay_there(tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    told = context(tmp_path, device="cuda:0")
    model = Simple(Params(epochs=20), told)

    model.fit(train, [test])

    assert all(images.is_cuda and target.is_cuda for images, target in seen(model))
    assert np.isfinite(predicted(model, test)).all()
