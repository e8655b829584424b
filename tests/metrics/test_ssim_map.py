"""SSIM of maps: scikit-image's where a window is whole, and by the definition everywhere else."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from stbench.metrics import Undefined
from stbench.metrics.raster import Raster
from stbench.metrics.ssim import WINDOW, local_ssim, ssim, ssim_map

from .conftest import BOTH_CONSTANT, CONSTANT_TRUTH, GENES, Given, odd_slide, slide_of


def test_is_scikit_images_where_every_spot_is_there() -> None:
    rng = np.random.default_rng(0)
    y = rng.gamma(1, 2, (3, 20, 16))  # (genes, rows, columns)
    p = 0.5 * y + rng.normal(0, 1, y.shape)
    extent = np.ptp(y, axis=(1, 2))

    found = local_ssim(y, p, np.ones_like(y), extent)

    edge = WINDOW // 2
    whole = np.s_[edge:-edge, edge:-edge]
    for gene in range(3):
        _, expected = structural_similarity(
            y[gene], p[gene], win_size=WINDOW, data_range=extent[gene], use_sample_covariance=False, full=True
        )
        np.testing.assert_allclose(found[gene][whole], expected[whole], atol=1e-10)


def slow_ssim_map(given: Given, gene: int) -> float:
    """Window by window, over the measured spots whose array position is within it."""
    row, col = given.slide.array_positions.astype(int).T
    if given.slide.info.grid == "hex":
        col = col // 2
    kept = given.measured[:, gene]
    y, p = given.truth[:, gene].astype(float), given.prediction[:, gene].astype(float)
    extent = np.ptp(y[kept])
    windows = []
    for spot in np.flatnonzero(kept):
        near = kept & (abs(row - row[spot]) <= WINDOW // 2) & (abs(col - col[spot]) <= WINDOW // 2)
        c = np.cov(y[near], p[near], ddof=0)
        mean_y, mean_p, c1, c2 = y[near].mean(), p[near].mean(), (0.01 * extent) ** 2, (0.03 * extent) ** 2
        windows.append(
            (2 * mean_y * mean_p + c1) * (2 * c[0, 1] + c2)
            / ((mean_y**2 + mean_p**2 + c1) * (c[0, 0] + c[1, 1] + c2))
        )  # fmt: skip
    return float(np.mean(windows))


def test_is_the_slow_one(given: Given) -> None:
    scores = ssim_map(*given)

    defined = [g for g in range(GENES) if scores.reasons[g] is None]
    for g in defined:
        assert scores.values[g] == pytest.approx(slow_ssim_map(given, g), abs=1e-6)
    assert len(defined) >= GENES - 4
    assert scores.reasons[CONSTANT_TRUTH] is scores.reasons[BOTH_CONSTANT] is Undefined.CONSTANT_TRUTH
    np.testing.assert_array_equal(scores.n_obs, given.measured.sum(0))


def test_background_is_no_similarity() -> None:
    given = odd_slide(0)
    far = np.append(given.slide.array_positions, [[200, 200]], axis=0).astype(int)
    wide = slide_of(*far.T)
    truth, prediction, measured = (
        np.append(a, np.zeros((1, GENES), a.dtype), axis=0) for a in (given.truth, given.prediction, given.measured)
    )

    np.testing.assert_allclose(ssim_map(truth, prediction, measured, wide).values, ssim_map(*given).values, atol=1e-9)


def test_a_map_in_the_wrong_places_is_less_similar_than_its_values_are() -> None:
    given = odd_slide(0, holes=0.0)
    smooth = np.sin(given.slide.array_positions[:, :1] / 2 + np.arange(GENES)).astype(np.float32)
    noisy = smooth + np.random.default_rng(0).normal(0, 0.5, smooth.shape).astype(np.float32)
    everything = np.ones(smooth.shape, bool)

    local, whole = (metric(smooth, noisy, everything, given.slide).values.mean() for metric in (ssim_map, ssim))

    assert local < whole


def test_a_slide_without_an_array_has_no_map() -> None:
    given = odd_slide(0)
    positions = given.slide.array_positions.astype(int)
    positions[1] = positions[0]

    for slide in (slide_of(*given.slide.array_positions.T, "none"), slide_of(*positions.T)):
        scores = ssim_map(given.truth, given.prediction, given.measured, slide)
        assert set(scores.reasons) == {Undefined.NO_GRID}


@pytest.mark.parametrize("grid", ["square", "hex"])
def test_a_raster_gives_back_what_it_was_given(grid: str) -> None:
    given = odd_slide(1, grid)
    raster = Raster.of(given.slide)

    assert raster is not None
    assert raster.shape == (15, 12)  # hexagonal rows have no gaps
    np.testing.assert_array_equal(raster.spots(raster.maps(given.truth)), given.truth)
