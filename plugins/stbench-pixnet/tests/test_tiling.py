from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from stbench.slides import Slide
from stbench.slides.source import ImageSource
from stbench.testing import toy_slides
from stbench.testing.edge_cases import rescanned
from stbench_pixnet.tiling import Canvas, SpotsOnCanvas, Window


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    (only,) = toy_slides(tmp_path_factory.mktemp("toy"), patients=1)
    return only


def test_a_canvas_is_the_image_at_the_models_scale_in_whole_steps(slide: Slide) -> None:
    width, height = slide.image.size  # 2 µm per pixel

    canvas = Canvas(slide, 1.0, 32)

    assert canvas.scale == 2
    assert canvas.image_size == (2 * width, 2 * height)
    assert all(0 <= whole - side < 32 for whole, side in zip(canvas.size, canvas.image_size, strict=True))
    assert all(side % 32 == 0 for side in canvas.size)


def test_at_the_images_own_scale_pixels_are_its_own_and_white_beyond(slide: Slide) -> None:
    width, height = slide.image.size
    canvas = Canvas(slide, slide.mpp, 32)

    pixels = canvas.read(Window(0, 0, *canvas.size))

    np.testing.assert_array_equal(pixels[:height, :width], slide.image.read(0, 0, width, height))
    assert (pixels[height:] == 255).all()
    assert (pixels[:, width:] == 255).all()


@pytest.mark.parametrize("mpp", [1.0, 2.0, 2.7, 8.0])
def test_windows_are_cut_from_one_whole(slide: Slide, mpp: float) -> None:
    canvas = Canvas(slide, mpp, 32)
    width, height = canvas.size
    whole = canvas.read(Window(0, 0, width, height))

    for left, top in ((0, 0), (32, 0), (0, 32)):
        window = Window(left, top, min(left + 64, width), min(top + 64, height))
        if window.left < window.right and window.top < window.bottom:
            same = whole[window.top : window.bottom, window.left : window.right].astype(int)
            assert np.abs(canvas.read(window) - same).max() <= (1 if mpp == 2.7 else 0)


def test_the_coarsest_sufficient_level_is_read(tmp_path: Path, slide: Slide) -> None:
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as file:  # levels of other colours, to see which was read
        file.write(np.full((512, 512, 3), 10, np.uint8), photometric="rgb", tile=(64, 64), subifds=2)
        for side, colour in ((256, 20), (128, 30)):
            file.write(np.full((side, side, 3), colour, np.uint8), photometric="rgb", tile=(64, 64), subfiletype=1)
    other = Slide(slide.adata, replace(slide.info, mpp=0.5), ImageSource(path, "0" * 64, slide.centers_px, tmp_path))

    read = [Canvas(other, mpp, 32).read(Window(0, 0, 32, 32))[16, 16, 0] for mpp in (0.5, 0.9, 1.0, 1.9, 2.0, 5.0)]

    assert read == [10, 10, 20, 20, 30, 30]


@settings(max_examples=50, deadline=None)
@given(
    side=st.integers(1, 400),
    halo=st.floats(0, 200),
    centers=st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), min_size=1, max_size=20),
)
def test_every_spot_lies_in_the_core_of_its_tile(
    slide: Slide, side: int, halo: float, centers: list[tuple[float, float]]
) -> None:
    canvas = Canvas(slide, 1.0, 32)
    places = np.array(centers) * canvas.size
    seen = []

    for tile, rows in canvas.occupied(places, side):
        core, window = canvas.tile(tile, side), canvas.tile(tile, side, halo)
        assert (places[rows] >= core[:2]).all()
        assert (places[rows] < core[2:]).all()
        assert all(edge % 32 == 0 for edge in window)
        assert window.left == 0 or core.left - window.left >= halo
        assert window.bottom == canvas.size[1] or window.bottom - core.bottom >= halo
        seen.append(rows)

    assert sorted(np.concatenate(seen)) == list(range(len(places)))


def test_cores_cover_the_canvas_once(slide: Slide) -> None:
    canvas = Canvas(slide, 1.0, 32)
    width, height = canvas.size
    times = np.zeros((height, width), int)
    columns, rows = canvas.tiles(200)

    for tile in range(columns * rows):
        core = canvas.tile(tile, 200)
        times[core.top : core.bottom, core.left : core.right] += 1

    assert (times == 1).all()


def test_another_scan_of_the_tissue_has_the_same_canvas(slide: Slide, tmp_path: Path) -> None:
    finer = rescanned(slide, tmp_path)
    own, other = Canvas(slide, 2.0, 32), Canvas(finer, 2.0, 32)

    spots, same = SpotsOnCanvas.of(slide, own, "own"), SpotsOnCanvas.of(finer, other, "own")

    assert own.size == other.size
    assert spots.size_px == same.size_px == 27.5
    assert np.abs(spots.centers_px - same.centers_px).max() <= 0.25


@pytest.mark.parametrize("own", ["circle", "square"])
@pytest.mark.parametrize("asked", ["own", "disk", "square"])
def test_another_shape_has_the_same_area(slide: Slide, own: str, asked: str) -> None:
    shaped = Slide(slide.adata, replace(slide.info, spot_shape=own), slide.source)
    canvas = Canvas(shaped, 0.5, 32)

    spots = SpotsOnCanvas.of(shaped, canvas, asked)

    area = spots.size_px**2 * (np.pi / 4 if spots.shape == "disk" else 1)
    assert spots.shape == (asked if asked != "own" else {"circle": "disk", "square": "square"}[own])
    assert area == pytest.approx(110**2 * (np.pi / 4 if own == "circle" else 1))


def test_centres_beyond_the_image_are_brought_to_its_border(slide: Slide) -> None:
    width, height = slide.image.size
    beyond = slide.at([(-50.0, 10.0), (width + 9.0, height + 9.0)])

    spots = SpotsOnCanvas.of(beyond, Canvas(beyond, 2.0, 32), "own")

    np.testing.assert_allclose(spots.centers_px, [(0, 10), (width, height)])
    assert (spots.centers_px < (width, height)).all()
