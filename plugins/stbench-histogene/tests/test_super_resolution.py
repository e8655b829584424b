"""Squares finer than a patch: which patches cover them, and what spots get from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stbench.models import Context
from stbench.slides import Slide
from stbench.testing.slides import toy_slides
from stbench_histogene.model import HisToGene
from stbench_histogene.params import HisToGeneParams
from stbench_histogene.super_resolution import DenseGrid, dense_grid

SIDE_PX = 24.0


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[Slide]:
    return toy_slides(tmp_path_factory.mktemp("slides"), patients=2, spots=30, genes=5)


def covering_by_loop(grid: DenseGrid, square: np.ndarray, side: float) -> set[int]:
    """Slow reference: patches whose square holds this one."""
    return {
        number
        for number, patch in enumerate(grid.patches_px)
        if (np.abs(patch - square) <= side / 2 - grid.step_px / 2 + 1e-6).all()
    }


@pytest.mark.parametrize("factor", [4, 9])
def test_each_square_is_covered_by_the_patches_that_hold_it(slides: list[Slide], factor: int) -> None:
    grid = dense_grid(slides[0], SIDE_PX, factor)

    for square, covering in zip(grid.squares_px, grid.covering, strict=True):
        assert {int(c) for c in covering if c >= 0} == covering_by_loop(grid, square, SIDE_PX)
    assert (grid.covering >= 0).sum(1).max() == factor
    assert len(np.unique(grid.squares_px, axis=0)) == len(grid.squares_px)


def test_averages_against_a_loop(slides: list[Slide]) -> None:
    grid = dense_grid(slides[0], SIDE_PX, 4)
    values = np.random.default_rng(0).normal(size=(len(grid.patches_px), 3)).astype(np.float32)

    squares = grid.average(values)
    spots = grid.at_spots(squares, slides[0].centers_px, SIDE_PX)

    for own, square in zip(squares, grid.squares_px, strict=True):
        expected = values[sorted(covering_by_loop(grid, square, SIDE_PX))].mean(0)
        np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-6)
    for own, center in zip(spots, slides[0].centers_px, strict=True):
        inside = (np.abs(grid.squares_px - center) <= SIDE_PX / 2 + 1e-6).all(1)
        assert inside.sum() >= 4
        np.testing.assert_allclose(own, squares[inside].mean(0), rtol=1e-5, atol=1e-6)


def test_a_constant_field_stays_constant_at_the_edges(slides: list[Slide]) -> None:
    grid = dense_grid(slides[0], SIDE_PX, 9)

    squares = grid.average(np.ones((len(grid.patches_px), 1), np.float32))

    np.testing.assert_allclose(squares, 1, rtol=1e-6)
    assert np.allclose(grid.at_spots(squares, slides[0].centers_px, SIDE_PX), 1)


def test_the_model_gives_spots_and_the_finer_squares(slides: list[Slide], tmp_path: Path) -> None:
    small = {"pixels": 8, "microns": 40.0, "dim": 16, "depth": 1, "heads": 2, "dim_head": 8, "mlp_dim": 16, "epochs": 2}
    context = Context(seed=0, device="cpu", work_dir=tmp_path, cache_dir=tmp_path)
    plain = HisToGene(HisToGeneParams(**small), context)
    plain.fit(slides[:1], [])
    plain.save(tmp_path)
    fine = HisToGene(HisToGeneParams(**small, super_resolution=4), context)
    fine.load(tmp_path)
    unseen = slides[1].without_expression()

    spots = fine.predict(unseen)
    points = fine.points(unseen)

    assert plain.points(unseen) is None
    assert spots.shape == (unseen.n_spots, 5)
    assert points is not None
    assert points.side_um == 20.0
    assert points.mean.shape == (len(points.centers_px), 5)
    assert len(points.centers_px) >= 4 * unseen.n_spots
    assert np.isfinite(points.mean).all()
    fine.params = fine.params.model_copy(update={"super_resolution": 1})
    torch.testing.assert_close(torch.from_numpy(fine.predict(unseen)), torch.from_numpy(plain.predict(unseen)))


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_squares_tile_a_patch(factor: int) -> None:
    with pytest.raises(ValueError, match="squares tile a patch"):
        HisToGeneParams(super_resolution=factor)
