from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stbench.errors import DataError
from stbench.models.contract import Context
from stbench.slides import Slide
from stbench.testing import context, toy_slides
from stbench_sepal.model import Sepal, frozen
from stbench_sepal.params import SepalParams
from stbench_sepal.plugin import SMOKE

TINY = SMOKE | {"pixels": 16, "stage1_epochs": 2, "stage1_batch_size": 32, "epochs": 3, "batch_size": 32, "pre": [16]}


def fitted(told: Context, train: Sequence[Slide], validation: Sequence[Slide] = (), **settings: Any) -> Sepal:
    model = Sepal(SepalParams.model_validate(TINY | settings), told)
    model.fit(train, validation)
    return model


def predicted(model: Sepal, slide: Slide) -> np.ndarray:
    return model.predict(slide.without_expression())


def test_a_second_seed_trains_stage_2_only(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    lines: list[str] = []
    first = fitted(replace(context(tmp_path), report=lines.append), slides[:2], slides[2:])
    assert sum("embedding" in line for line in lines) == 3
    lines.clear()

    second = fitted(replace(context(tmp_path, seed=1), report=lines.append), slides[:2], slides[2:])

    assert "taken from the cache" in lines[0]
    assert not [line for line in lines if "embedding" in line]
    assert sum("val_loss" in line for line in lines) == 3
    assert second.reused_seconds > 0
    assert str(first.stage1.network.state_dict()) == str(second.stage1.network.state_dict())
    assert not np.allclose(predicted(first, slides[2]), predicted(second, slides[2]))


def test_stage_1_has_a_seed_of_its_own(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    zero, one = (fitted(context(tmp_path), slides[:1], slides[1:], stage1_seed=seed) for seed in (0, 1))

    assert not torch.equal(zero.stage1.network.head.weight, one.stage1.network.head.weight)


def test_stage_2_corrects_what_stage_1_predicts(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    model = fitted(context(tmp_path), slides[:1], slides[1:])
    last = [layer for layer in model.network.post if isinstance(layer, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(0.25)

    stage1 = model.stage1.predict(slides[1].without_expression())

    np.testing.assert_allclose(predicted(model, slides[1]), stage1 + 0.25, atol=1e-4)


def test_zoom_shows_stage_2_the_centre(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    network = fitted(context(tmp_path), slides[:1], slides[1:]).stage1.network
    plain, zoomed = frozen(network, zoom=False), frozen(network, zoom=True)
    border = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    border[:, 0] = border[:, -1] = border[:, :, 0] = border[:, :, -1] = 255
    dark = torch.zeros_like(border)

    with torch.inference_mode():
        assert torch.equal(zoomed(border), zoomed(dark))
        assert not torch.equal(plain(border), plain(dark))
    assert plain.identity != zoomed.identity


def test_embeddings_are_named_by_the_weights(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    network = fitted(context(tmp_path), slides[:1], slides[1:]).stage1.network
    before = frozen(network, zoom=True).identity
    assert frozen(network, zoom=True).identity == before

    with torch.no_grad():
        network.head.bias[0] += 1e-3

    assert frozen(network, zoom=True).identity != before


@pytest.mark.parametrize(
    "settings",
    [
        {"operator": "gat", "pooling": "sag"},
        {"combine": "sum", "pre": [], "graph": [], "post": None, "operator": "graph"},
        {"edges": "grid", "neighbours": "knn", "hops": 3, "loss_on": "measured"},
        {"augment": "batch", "zoom": True},
    ],
)
def test_variants_predict(settings: dict[str, Any], tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2, grid="hex")
    model = fitted(context(tmp_path), slides[:1], slides[1:], **settings)

    prediction = predicted(model, slides[1])

    assert prediction.shape == (slides[1].n_spots, slides[1].adata.n_vars)
    assert prediction.dtype == np.float32
    assert np.isfinite(prediction).all()


def test_saved_and_loaded_it_predicts_the_same(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    model = fitted(context(tmp_path), slides[:1], slides[1:])
    (tmp_path / "kept").mkdir()
    model.save(tmp_path / "kept")
    loaded = Sepal(model.params, context(tmp_path, seed=5))

    loaded.load(tmp_path / "kept")

    np.testing.assert_array_equal(predicted(loaded, slides[1]), predicted(model, slides[1]))
    other = Sepal(model.params.model_copy(update={"graph": (32,)}), context(tmp_path))
    with pytest.raises(DataError, match=r"stage2\.safetensors does not fit these parameters"):
        other.load(tmp_path / "kept")


def test_the_order_of_the_spots_does_not_matter(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    model = fitted(context(tmp_path), slides[:1], slides[1:])
    order = np.random.default_rng(0).permutation(slides[1].n_spots)

    mixed = predicted(model, slides[1].subset(order))

    np.testing.assert_allclose(mixed, predicted(model, slides[1])[order], atol=1e-4)


def test_any_point_of_the_image_can_be_predicted(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    model = fitted(context(tmp_path), slides[:1], slides[1:])
    points = slides[1].centers_px[:7] + 11.5

    prediction = model.predict(slides[1].at(points))

    assert prediction.shape == (7, slides[1].adata.n_vars)
    assert np.isfinite(prediction).all()


def test_blocks_of_one_slide_can_be_trained_on(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=49)
    upper = slide.array_positions[:, 0] < 4

    model = fitted(context(tmp_path), [slide.subset(upper)], [slide.subset(~upper)])

    assert predicted(model, slide.subset(~upper)).shape == ((~upper).sum(), slide.adata.n_vars)


def test_it_counts_both_stages(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    model = fitted(context(tmp_path), slides[:1])

    stages = (model.stage1.network, model.network)
    assert model.n_parameters == sum(p.numel() for stage in stages for p in stage.parameters())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees_with_the_cpu(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)
    model = fitted(context(tmp_path), slides[:1], slides[1:])
    (tmp_path / "kept").mkdir()
    model.save(tmp_path / "kept")
    on_gpu = Sepal(model.params, context(tmp_path, device="cuda:0"))
    on_gpu.load(tmp_path / "kept")

    np.testing.assert_allclose(predicted(on_gpu, slides[1]), predicted(model, slides[1]), atol=1e-2)
