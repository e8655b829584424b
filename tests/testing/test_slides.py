from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stbench.slides import Slide
from stbench.testing import toy_slides


def colour(slide: Slide) -> np.ndarray:
    patches = slide.patches(pixels=8, microns=40.0).mean((1, 2)) / 255
    return np.column_stack([patches, np.log(patches + 0.01), np.ones(slide.n_spots)])


@pytest.mark.parametrize("grid", ["square", "hex"])
def test_expression_follows_the_colour_of_the_image(grid: str, tmp_path: Path) -> None:
    train, test = toy_slides(tmp_path, spots=100, grid=grid)

    weights = np.linalg.lstsq(colour(train), train.target, rcond=None)[0]

    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(test.target.T, (colour(test) @ weights).T, strict=True)]
    assert np.median(r) > 0.7


def test_slides_look_prepared_and_come_out_the_same(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path / "a", patients=2, sections=2, spots=30, genes=5)
    twins = toy_slides(tmp_path / "b", patients=2, sections=2, spots=30, genes=5)

    assert [s.info.id for s in slides] == ["P1-S1", "P1-S2", "P2-S1", "P2-S2"]
    for slide, twin in zip(slides, twins, strict=True):
        assert slide.target.shape == (30, 5)
        assert slide.measured.all()
        assert slide.adata.raw.n_vars > 5
        assert {"symbol", "train_mean", "hvg50", "heg50"} <= set(slide.adata.var)
        np.testing.assert_array_equal(slide.target, twin.target)
        np.testing.assert_array_equal(slide.patches(pixels=8, microns=50.0), twin.patches(pixels=8, microns=50.0))
    assert not np.array_equal(slides[0].target, slides[1].target)


@pytest.mark.parametrize(("grid", "neighbours"), [("square", 8), ("hex", 6)])
def test_spots_lie_on_the_grid(grid: str, neighbours: int, tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=49, grid=grid)

    edges = slide.neighbours("grid")

    assert np.bincount(edges[1], minlength=49).max() == neighbours
    assert (slide.centers_px > 0).all()
    assert (slide.centers_px < slide.image.size).all()
