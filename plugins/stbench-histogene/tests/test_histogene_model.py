from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stbench.errors import DataError, UsageError
from stbench.models import Attentive
from stbench.models.contract import Precision
from stbench.slides import Slide
from stbench.testing import check_model, context, toy_slides
from stbench_histogene.model import HisToGene
from stbench_histogene.params import HisToGeneParams
from stbench_histogene.plugin import SMOKE

TRAINED = ("gene_order", "beats_mean")
"""Checks that a network has to be trained to pass."""

TINY = HisToGeneParams.model_validate(
    SMOKE | {"pixels": 8, "dim": 32, "depth": 1, "heads": 2, "dim_head": 8, "mlp_dim": 32, "epochs": 3}
)


def tiny(**settings: object) -> HisToGeneParams:
    return HisToGeneParams.model_validate(TINY.model_dump() | settings)


def fitted(
    params: HisToGeneParams,
    folder: Path,
    train: Sequence[Slide],
    validation: Sequence[Slide] = (),
    seed: int = 0,
) -> HisToGene:
    model = HisToGene(params, context(folder, seed))
    model.fit(train, validation)
    return model


def weights(model: HisToGene) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def mean_r(truth: np.ndarray, prediction: np.ndarray) -> float:
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(truth.T, prediction.T, strict=True)]))


@pytest.mark.parametrize("settings", [{"raw_intensities": True}, {"keep_last_epoch": True}])
def test_variants_keep_the_contract(settings: dict[str, bool]) -> None:
    check_model(HisToGene, params=tiny(**settings), xfail=dict.fromkeys(TRAINED, "three epochs of a tiny network"))


def test_it_learns_a_slide_by_heart(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1)
    model = fitted(tiny(epochs=400, lr=3e-3, dropout=0.0), tmp_path, [slide])

    prediction = model.predict(slide.without_expression())

    assert ((prediction - slide.target) ** 2).mean() < 0.1 * slide.target.var(0).mean()


def test_it_learns_from_the_image(tmp_path: Path) -> None:
    *train, validation, test = toy_slides(tmp_path, patients=6, spots=64)
    model = fitted(tiny(epochs=40, lr=3e-3), tmp_path, train, [validation])

    assert mean_r(test.target, model.predict(test.without_expression())) > 0.4


def unmeasured(slide: Slide, filler: float) -> Slide:
    """The same slide without its third gene and without a corner of its values."""
    adata = slide.adata.copy()
    measured = np.ones(adata.shape, bool)
    measured[:, 2] = measured[:5, :2] = False
    adata.layers["measured"] = measured
    adata.X = np.where(measured, slide.target, np.float32(filler))
    return slide.with_adata(adata)


def test_unmeasured_values_change_nothing(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    zero, large = (
        fitted(TINY, tmp_path, [unmeasured(s, filler) for s in slides[:2]], [unmeasured(slides[2], filler)])
        for filler in (0.0, 1e6)
    )

    torch.testing.assert_close(weights(zero), weights(large), rtol=0, atol=0)
    assert not torch.equal(weights(zero), weights(fitted(TINY, tmp_path, slides[:2], slides[2:])))


def test_the_order_of_the_spots_does_not_matter(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(TINY, tmp_path, [train])
    order = np.random.default_rng(0).permutation(test.n_spots)

    prediction = model.predict(test.subset(order).without_expression())

    np.testing.assert_allclose(prediction, model.predict(test.without_expression())[order], atol=1e-5)


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    first, again, other = (fitted(TINY, tmp_path, slides, seed=seed) for seed in (0, 0, 1))

    assert torch.equal(weights(first), weights(again))
    assert not torch.allclose(weights(first), weights(other))


def test_the_best_validation_epoch_is_kept_unless_the_last_is_asked_for(tmp_path: Path) -> None:
    train, validation = toy_slides(tmp_path, spots=25)
    adata = validation.adata.copy()
    adata.X = -validation.target  # the better on train, the worse here
    misleading = validation.with_adata(adata)
    params = tiny(epochs=12, lr=3e-3)

    best, last = (
        fitted(tiny(**params.model_dump() | {"keep_last_epoch": keep}), tmp_path, [train], [misleading])
        for keep in (False, True)
    )
    untold = fitted(params, tmp_path, [train])

    def loss(model: HisToGene) -> float:
        return float(((model.predict(train.without_expression()) - train.target) ** 2).mean())

    assert loss(last) < 0.9 * loss(best)
    assert torch.equal(weights(last), weights(untold))


def test_validation_slides_and_blocks_are_averaged_by_spots(tmp_path: Path) -> None:
    train, first, second = toy_slides(tmp_path, patients=3)
    parts = [first, second.subset(np.arange(10))]
    lines: list[str] = []
    model = HisToGene(tiny(epochs=1), replace(context(tmp_path), report=lines.append))

    model.fit([train], parts)

    errors = [((model.predict(s.without_expression()) - s.target) ** 2).mean(1) for s in parts]
    assert float(lines[0].split()[-1]) == pytest.approx(np.concatenate(errors).mean(), rel=1e-4)


def test_blocks_of_slides_can_be_trained_on_and_predicted(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=49)
    upper = slide.array_positions[:, 0] < 4
    model = fitted(TINY, tmp_path, [slide.subset(upper)], [slide.subset(~upper)])

    prediction = model.predict(slide.subset(~upper).without_expression())

    assert prediction.shape == ((~upper).sum(), 6)
    assert np.isfinite(prediction).all()


def test_any_point_of_the_image_can_be_predicted(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(TINY, tmp_path, [train])
    x, y = np.meshgrid(*(np.arange(0, side, 15.0) for side in test.image.size))

    prediction = model.predict(test.at(np.column_stack([x.ravel(), y.ravel()])))

    assert prediction.shape == (x.size, 6)
    assert np.isfinite(prediction).all()


def test_points_on_the_spots_are_predicted_like_the_spots(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(TINY, tmp_path, [train])

    prediction = model.predict(test.at(test.centers_px))

    np.testing.assert_allclose(prediction, model.predict(test.without_expression()), atol=1e-5)


def test_position_tables_are_as_large_as_the_training_slides_ask_for(tmp_path: Path) -> None:
    small, large = toy_slides(tmp_path)[0], toy_slides(tmp_path / "large", spots=81)[0]
    model = fitted(tiny(n_positions=2), tmp_path, [large])
    model.save(tmp_path)
    again = HisToGene(tiny(n_positions=2), context(tmp_path))
    again.load(tmp_path)

    assert model.n_positions == again.n_positions == 9
    np.testing.assert_array_equal(model.predict(large.without_expression()), again.predict(large.without_expression()))
    assert fitted(tiny(n_positions=64), tmp_path, [small]).n_positions == 64


def test_a_test_slide_may_be_larger_than_all_training_slides(tmp_path: Path) -> None:
    small, large = toy_slides(tmp_path)[0], toy_slides(tmp_path / "large", spots=81)[0]
    model = fitted(tiny(n_positions=2), tmp_path, [small])

    prediction = model.predict(large.without_expression())

    assert model.n_positions < 9
    assert prediction.shape == (81, 6)
    assert np.isfinite(prediction).all()


def test_weights_of_another_shape_are_not_loaded(tmp_path: Path) -> None:
    model = fitted(TINY, tmp_path, toy_slides(tmp_path))
    model.save(tmp_path)

    with pytest.raises(DataError, match="load it with those it was fitted with"):
        HisToGene(tiny(dim=16), context(tmp_path)).load(tmp_path)


def test_it_counts_its_parameters(tmp_path: Path) -> None:
    model = fitted(TINY, tmp_path, toy_slides(tmp_path))

    assert model.n_parameters == len(weights(model))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_mixed_precision_on_the_gpu_agrees_with_float32(tmp_path: Path) -> None:
    *train, validation = toy_slides(tmp_path, patients=4, spots=64)
    loss = {}
    precisions: tuple[Precision, ...] = ("float32", "bf16-mixed")
    for precision in precisions:
        told = replace(context(tmp_path, device="cuda:0"), precision=precision)
        model = HisToGene(tiny(epochs=40, lr=3e-3, dropout=0.0), told)
        model.fit(train, [validation])
        prediction = model.predict(validation.without_expression())
        loss[precision] = float(((prediction - validation.target) ** 2).mean())

    assert loss["bf16-mixed"] == pytest.approx(loss["float32"], rel=0.05)


def test_attention_of_a_kept_model_is_that_of_the_fitted_one(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)
    model = fitted(tiny(depth=3), tmp_path, [train])
    model.save(tmp_path)
    again = HisToGene(tiny(depth=3), context(tmp_path))
    again.load(tmp_path)

    attention = model.attention(test.without_expression(), spot=5)

    assert attention.shape == (3, TINY.heads, test.n_spots)
    np.testing.assert_allclose(attention.sum(2), 1, rtol=1e-5)
    np.testing.assert_array_equal(attention, again.attention(test.without_expression(), spot=5))
    assert isinstance(model, Attentive)


def test_without_blocks_there_is_no_attention(tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path)

    with pytest.raises(UsageError, match="depth=0 has no attention"):
        fitted(tiny(depth=0), tmp_path, [train]).attention(test.without_expression(), 0)


@pytest.mark.slow
def test_the_published_network_learns_real_sections(tmp_path: Path) -> None:
    from stbench.datasets import DatasetContext
    from stbench.datasets.her2st import Her2st
    from stbench.protocols.v1 import STBENCH_V1

    data = Path(os.environ.get("STBENCH_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    if not (data / "her2st").is_dir():
        pytest.skip(f"no real data in {data}; set STBENCH_TEST_DATA")
    dataset = Her2st(DatasetContext(tmp_path / "cache", data))
    sections = [STBENCH_V1.filter(dataset.load(name)) for name in ("C2", "C3", "C4")]
    protocol = STBENCH_V1.fit(sections[:2])
    *train, validation = (protocol.transform(section) for section in sections)
    lines: list[str] = []

    model = HisToGene(HisToGeneParams(epochs=6), replace(context(tmp_path), report=lines.append))
    model.fit(train, [validation])

    losses = [float(line.split()[-1]) for line in lines if "val_loss" in line]
    assert len(losses) == 6
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]
