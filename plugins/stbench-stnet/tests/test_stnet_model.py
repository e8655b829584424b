from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stbench.errors import DataError, UsageError
from stbench.models.contract import Precision
from stbench.models.encoders import load_encoder
from stbench.slides import Slide
from stbench.testing import context, toy_slides
from stbench_stnet.model import StNet, best_epoch, measured_mean
from stbench_stnet.params import StNetParams
from stbench_stnet.plugin import SMOKE


def tiny(**settings: Any) -> StNetParams:
    return StNetParams.model_validate(SMOKE | {"epochs": 3} | settings)


def made(folder: Path, seed: int = 0, **settings: Any) -> StNet:
    return StNet(tiny(**settings), context(folder, seed))


def fitted(
    folder: Path, train: Sequence[Slide], validation: Sequence[Slide] = (), seed: int = 0, **settings: Any
) -> StNet:
    model = made(folder, seed, **settings)
    model.fit(train, validation)
    return model


def predicted(model: StNet, slide: Slide) -> np.ndarray:
    return np.asarray(model.predict(slide.without_expression()))


def weights(model: StNet) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def unmeasured(slide: Slide, filler: float) -> Slide:
    """The same slide without its third gene and without a corner of its values."""
    adata = slide.adata.copy()
    measured = np.ones(adata.shape, bool)
    measured[:, 2] = measured[:5, :2] = False
    adata.layers["measured"] = measured
    adata.X = np.where(measured, slide.target, np.float32(filler))
    return slide.with_adata(adata)


@pytest.mark.parametrize(("tta", "rounding"), [("none", 0), ("d4", 1e-6)])  # a sum of eight is rounded
def test_before_training_every_image_is_predicted_the_training_mean(tta: str, rounding: float, tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = made(tmp_path, tta=tta)

    model.train_for(0, train)

    mean = np.concatenate([slide.target for slide in train]).mean(0, dtype=np.float64).astype(np.float32)
    np.testing.assert_allclose(predicted(model, test), np.tile(mean, (test.n_spots, 1)), rtol=rounding)


def test_with_the_default_head_images_differ_from_the_start(tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = made(tmp_path, head_init="default")

    model.train_for(0, train)

    assert (predicted(model, test).std(0) > 0).all()


def test_the_mean_is_that_of_measured_values_of_every_gene(tmp_path: Path) -> None:
    first, second = toy_slides(tmp_path)
    slides = [unmeasured(first, 1e6), second]
    values = [[v for s in slides for v in s.target[s.measured[:, g], g]] for g in range(6)]

    np.testing.assert_allclose(measured_mean(slides), [np.mean(v) for v in values], rtol=1e-5)
    assert measured_mean(slides[:1])[2] == 0  # measured nowhere


def test_channel_statistics_are_those_of_the_training_patches_or_the_encoders(tmp_path: Path) -> None:
    train = toy_slides(tmp_path)  # 80 training patches: all are looked at
    estimated, given = made(tmp_path), made(tmp_path, normalisation="imagenet")
    for model in (estimated, given):
        model.train_for(0, train)

    pixels = np.concatenate([s.patches(pixels=32, microns=75.0) for s in train]).astype(float) / 255
    for c in range(3):
        assert float(estimated.network.mean[c]) == pytest.approx(pixels[..., c].mean(), rel=1e-5)
        assert float(estimated.network.std[c]) == pytest.approx(pixels[..., c].std(), rel=1e-5)
    encoder = load_encoder(tiny().encoder, "random", tmp_path)
    assert given.network.mean.flatten().tolist() == pytest.approx(encoder.mean)
    assert given.network.std.flatten().tolist() == pytest.approx(encoder.std)


def test_of_many_training_patches_some_are_looked_at_the_same_for_the_same_seed(tmp_path: Path) -> None:
    train = toy_slides(tmp_path, patients=5, spots=100)

    def mean(seed: int) -> list[float]:
        model = made(tmp_path, seed)
        model.train_for(0, train)
        return [float(value) for value in model.network.mean.flatten()]

    everything = np.concatenate([s.patches(pixels=32, microns=75.0) for s in train]).mean((0, 1, 2)) / 255
    assert mean(0) == mean(0) != mean(1)
    assert mean(0) == pytest.approx(everything, abs=0.03)


def test_it_learns_from_the_image(tmp_path: Path) -> None:
    *train, validation, test = toy_slides(tmp_path, patients=6, spots=64)
    model = fitted(tmp_path, train, [validation], epochs=15, lr=1e-3)

    prediction = predicted(model, test)

    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(test.target.T, prediction.T, strict=True)]
    assert np.mean(r) > 0.4


def test_all_of_the_network_is_trained_batch_statistics_too(tmp_path: Path) -> None:
    train = toy_slides(tmp_path)
    before, after = made(tmp_path), made(tmp_path, lr=1e-2)
    before.train_for(0, train)
    after.train_for(2, train)

    old, new = before.network.state_dict(), after.network.state_dict()

    still = {name for name in old if torch.equal(old[name], new[name])}
    assert still == {"mean", "std"}
    assert after.n_parameters == sum(p.numel() for p in after.network.parameters())


def test_unmeasured_values_change_nothing(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    zero, large = (
        fitted(tmp_path, [unmeasured(s, filler) for s in slides[:2]], [unmeasured(slides[2], filler)])
        for filler in (0.0, 1e6)
    )

    torch.testing.assert_close(weights(zero), weights(large), rtol=0, atol=0)
    assert not torch.equal(weights(zero), weights(fitted(tmp_path, slides[:2], slides[2:])))


def test_predictions_do_not_change_when_a_slide_is_turned(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(tmp_path, [train])
    images = torch.from_numpy(np.array(test.patches(pixels=32, microns=75.0))).permute(0, 3, 1, 2) / 255

    with torch.inference_mode():
        upright, turned = (model.network.eval()(seen) for seen in (images, images.rot90(1, (2, 3)).flip(3)))

    np.testing.assert_allclose(upright, predicted(model, test), atol=1e-5)
    torch.testing.assert_close(turned, upright, atol=1e-5, rtol=1e-5)


def misleading(slide: Slide) -> Slide:
    """The better on training slides, the worse here."""
    adata = slide.adata.copy()
    adata.X = 2 * slide.target.mean(0) - slide.target
    return slide.with_adata(adata)


def test_only_val_looks_at_validation_slides(tmp_path: Path) -> None:
    *train, validation = toy_slides(tmp_path, patients=3)
    bad = [misleading(validation)]

    def after(validated: Sequence[Slide], **settings: Any) -> torch.Tensor:
        return weights(fitted(tmp_path, train, validated, lr=1e-3, **settings))

    assert torch.equal(after(bad, epoch_selection="last"), after([]))
    assert torch.equal(after(bad, epoch_selection="nested4"), after([], epoch_selection="nested4"))
    assert not torch.equal(after(bad), after([]))


def test_nested_folds_choose_the_epoch_with_the_lowest_error_over_all_held_out_spots(tmp_path: Path) -> None:
    spots = iter((36, 8, 16, 30, 20))
    train = [s.subset(np.arange(next(spots))) for s in toy_slides(tmp_path, patients=5, spots=36)]
    train[1] = unmeasured(train[1], 7.0)
    lines: list[str] = []
    params = tiny(epoch_selection="nested4", lr=5e-3, epochs=3)
    model = StNet(params, replace(context(tmp_path), report=lines.append))

    model.fit(train, [])

    patients = sorted({s.info.patient for s in train})
    error = np.zeros(3)
    for f in range(4):  # slow reference: every fold trained anew for every number of epochs
        held = patients[f::4]
        for epoch in range(3):
            trial = StNet(params, context(tmp_path))
            trial.train_for(epoch + 1, [s for s in train if s.info.patient not in held])
            for slide in (s for s in train if s.info.patient in held):
                error[epoch] += (((predicted(trial, slide) - slide.target) ** 2)[slide.measured]).sum()
    assert f"st-net: epoch {error.argmin() + 1} of 3 by inner folds" in lines
    assert [line.partition(": ")[2] for line in lines if "held out" in line] == [
        "inner fold 1 of 4, held out: P1, P5",
        "inner fold 2 of 4, held out: P2",
        "inner fold 3 of 4, held out: P3",
        "inner fold 4 of 4, held out: P4",
    ]
    again = made(tmp_path, lr=5e-3)
    again.train_for(int(error.argmin()) + 1, train)
    assert torch.equal(weights(model), weights(again))


def test_a_fold_of_more_spots_counts_for_more() -> None:
    losses = np.array([[1.0, 3.0], [2.0, 1.0]])

    assert losses.mean(0).argmin() == 0  # the mean of the folds' means
    assert best_epoch(losses, np.array([10, 100])) == 1
    assert best_epoch(np.array([[np.nan, 3.0, 2.0], [1.0, 1.0, 3.0]]), np.array([1, 1])) == 1


def test_nested_folds_need_two_patients(tmp_path: Path) -> None:
    train = toy_slides(tmp_path, patients=1, sections=2)

    with pytest.raises(UsageError, match=r"nested4 .* there is one; use val or last"):
        fitted(tmp_path, train, epoch_selection="nested4")


def test_an_encoders_file_is_what_training_starts_from(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    train = toy_slides(tmp_path)
    torch.manual_seed(5)
    encoder = load_encoder(tiny().encoder, "random", tmp_path).module
    state = {name: torch.randn_like(v) if v.ndim == 4 else v for name, v in encoder.state_dict().items()}
    save_file(state, tmp_path / "encoder.safetensors")
    model = made(tmp_path, weights=tmp_path / "encoder.safetensors")

    model.train_for(0, train)

    assert all(torch.equal(model.network.encoder.state_dict()[name], value) for name, value in state.items())


def test_a_saved_model_needs_no_encoder_weights_and_no_training_slides(tmp_path: Path) -> None:
    *train, test = toy_slides(tmp_path, patients=3)
    model = fitted(tmp_path, train)
    model.save(tmp_path)
    loaded = made(tmp_path, weights="pretrained")  # which are not here

    loaded.load(tmp_path)

    np.testing.assert_array_equal(predicted(loaded, test), predicted(model, test))
    with pytest.raises(DataError, match="load it with those it was fitted with"):
        made(tmp_path, encoder="resnet18").load(tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_mixed_precision_on_the_gpu_agrees_with_float32(tmp_path: Path) -> None:
    *train, validation = toy_slides(tmp_path, patients=4, spots=64)
    loss = {}
    precisions: tuple[Precision, ...] = ("float32", "bf16-mixed")
    for precision in precisions:
        model = StNet(tiny(epochs=15, lr=1e-3), replace(context(tmp_path, device="cuda:0"), precision=precision))
        model.fit(train, [validation])
        loss[precision] = float(((predicted(model, validation) - validation.target) ** 2).mean())

    assert loss["bf16-mixed"] == pytest.approx(loss["float32"], rel=0.1)
