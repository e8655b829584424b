"""Patches show the same tissue at any scale; spots on masked background are found."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stbench.errors import DataError
from stbench.slides.image import SlideImage, open_image
from stbench.slides.patches import cut_patches, masked_fraction

A2 = Path("ST-imgs", "A", "A2", "A2_HE_image_dark.png")
C2 = Path("ST-imgs", "C", "C2", "5714_HE_BT_C2.jpg")


class ArrayImage(SlideImage):
    """Levels given as (h, w, 3) arrays."""

    def __init__(self, *levels: np.ndarray) -> None:
        super().__init__(Path("array"), [(level.shape[1], level.shape[0]) for level in levels])
        self.levels = levels
        self.used: set[int] = set()

    def _inside(self, level: int, rows: slice, columns: slice) -> np.ndarray:
        self.used.add(level)
        return self.levels[level][rows, columns]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def tissue(height: int, width: int, scale: float = 1.0) -> np.ndarray:
    """Structures about 15 to 40 px wide at scale 1, evaluated at pixel centres."""
    y, x = (np.mgrid[:height, :width] + 0.5) * scale
    channels = [127 + 60 * np.sin(x / (9 + c)) + 60 * np.cos(y / (6 + c) + x / 40) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def real_spots(her2st: Path, section: str, scale: float = 1.0) -> tuple[np.ndarray, float]:
    """(centers_px, diameter_px) of a HER2+ section; spots of 100 µm lie 200 µm apart."""
    with (her2st / "ST-spotfiles" / f"{section}_selection.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    centers = np.array([[float(row["pixel_x"]), float(row["pixel_y"])] for row in rows]) * scale
    pitch_px = np.polyfit([float(row["new_x"]) for row in rows], centers[:, 0], 1)[0]
    return centers, pitch_px / 2


COORDINATE = st.floats(-60, 120, allow_nan=False)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=5), st.integers(1, 40))
def test_an_unscaled_patch_is_a_padded_slice(centers: list[tuple[float, float]], pixels: int) -> None:
    whole = noise(50, 70)
    padded = np.pad(whole, ((200, 200), (200, 200), (0, 0)), constant_values=255)

    patches = cut_patches(ArrayImage(whole), np.array(centers), pixels, pixels)

    for (x, y), patch in zip(centers, patches, strict=True):
        left, top = int(np.floor(x)) - pixels // 2 + 200, int(np.floor(y)) - pixels // 2 + 200
        np.testing.assert_array_equal(patch, padded[top : top + pixels, left : left + pixels])


def gradient() -> ArrayImage:
    """Grey level x - 0.5 at the continuous coordinate x."""
    row = np.arange(256, dtype=np.uint8)[None, :, None]
    return ArrayImage(np.ascontiguousarray(np.broadcast_to(row, (256, 256, 3))))


@pytest.mark.parametrize("side_px", [31.7, 50.0, 80.0, 112.4, 199.9])
def test_resampling_a_gradient_differs_by_rounding_only(side_px: float) -> None:
    pixels, x = 40, 127.3

    (patch,) = cut_patches(gradient(), np.array([[x, 128.0]]), side_px, pixels)

    column_centers = x - side_px / 2 + (np.arange(pixels) + 0.5) * side_px / pixels
    expected = np.broadcast_to((column_centers - 0.5)[:, None], (pixels, pixels, 3))
    # half a level of rounding, and up to 0.1 px where the filter covers a fractional number of pixels
    np.testing.assert_allclose(patch.astype(float), expected, atol=0.6)


def test_a_shift_of_a_tenth_of_a_pixel_shows() -> None:
    centers = np.stack([100 + np.arange(11) / 10, np.full(11, 128.0)], axis=1)

    patches = cut_patches(gradient(), centers, 67.0, 20)

    steps = np.diff(patches.mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(steps, 0.1, atol=0.06)


def test_the_same_tissue_from_a_reduced_copy() -> None:
    full = tissue(1400, 1400)
    image = Image.fromarray(full)
    reduced = np.asarray(image.resize((400, 400), Image.Resampling.BOX))  # 3.5x
    centers = np.array([[300.0, 500.0], [711.3, 888.8], [1200.0, 210.7], [10.0, 1390.0]])

    from_full = cut_patches(ArrayImage(full), centers, 224.0, 56)
    from_reduced = cut_patches(ArrayImage(reduced), centers / 3.5, 224.0 / 3.5, 56)

    difference = np.abs(from_full.astype(int) - from_reduced.astype(int))
    assert difference[:3].mean() < 3
    assert difference[3].mean() < 6  # the border to white is blurred differently
    shifted = cut_patches(ArrayImage(full), centers + 8.0, 224.0, 56)
    assert np.abs(from_full.astype(int) - shifted.astype(int))[:3].mean() > 10


def test_the_coarsest_sufficient_level_is_read() -> None:
    levels = [tissue(1024 // step, 1024 // step, step) for step in (1, 2, 4)]
    centers = np.array([[400.3, 555.5], [700.0, 123.0]])
    for side_px, level in ((64, 0), (100.0, 0), (126.0, 0), (127.9, 1), (200.0, 1), (255.8, 2), (900.0, 2)):
        pyramid = ArrayImage(*levels)
        patches = cut_patches(pyramid, centers, side_px, 64)
        assert pyramid.used == {level}
        finest = cut_patches(ArrayImage(levels[0]), centers, side_px, 64)
        inside = np.abs(patches.astype(int) - finest.astype(int))
        assert inside.mean() < 6


def test_pyramid_with_odd_sides_keeps_whole_downsamples() -> None:
    image = ArrayImage(*[noise(9911 >> level, 9274 >> level) for level in (3, 4, 5)])

    assert image.downsamples == (1.0, 2.0, 4.0)


def test_patches_go_to_out_in_the_order_of_the_spots() -> None:
    image = ArrayImage(noise(900, 900))
    centers = np.random.default_rng(1).uniform(0, 900, (50, 2))
    out = np.zeros((50, 16, 16, 3), np.uint8)

    returned = cut_patches(image, centers, 24.0, 16, out)

    assert returned is out
    for center, patch in zip(centers, out, strict=True):
        np.testing.assert_array_equal(cut_patches(image, center[None], 24.0, 16)[0], patch)
    assert cut_patches(image, np.empty((0, 2)), 24.0, 16).shape == (0, 16, 16, 3)
    with pytest.raises(ValueError, match="out is"):
        cut_patches(image, centers, 24.0, 17, out)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_spots_without_a_position_are_an_error(value: float) -> None:
    centers = np.array([[1.0, 2.0], [3.0, value]])
    image = ArrayImage(noise(20, 20))
    message = r"1 of 2 spots on array have no position \(the first is row 1\); drop"

    with pytest.raises(DataError, match=message):
        cut_patches(image, centers, 8.0, 8)
    with pytest.raises(DataError, match=message):
        masked_fraction(image, centers, 8.0)


def test_outside_is_white() -> None:
    black = ArrayImage(np.zeros((40, 40, 3), np.uint8))

    patches = cut_patches(black, np.array([[-500.0, 1e9], [0, 20]]), 20.0, 8)

    assert (patches[0] == 255).all()
    assert (patches[1][:, :3] == 255).all()
    assert (patches[1][:, 5:] == 0).all()


def slow_masked_fraction(pixels: np.ndarray, x: float, y: float, diameter: float) -> float:
    inside, black = 0, 0
    for row in range(-60, pixels.shape[0] + 60):
        for column in range(-60, pixels.shape[1] + 60):
            if (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 > (diameter / 2) ** 2:
                continue
            inside += 1
            if 0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1]:
                black += max(pixels[row, column]) <= 2
    return black / inside


def test_masked_fraction_equals_the_obvious_loop() -> None:
    pixels = noise(60, 70)
    pixels[:, :25] = 0
    pixels[10:30, 40:60] = [2, 0, 1]
    pixels[40:, 40:] = [3, 0, 0]
    centers = np.array([[12.0, 30.0], [25.2, 31.9], [50.5, 22.0], [55.0, 55.0], [0.0, 0.0], [-40.0, 20.0]])

    fractions = masked_fraction(ArrayImage(pixels), centers, 21.4)

    expected = [slow_masked_fraction(pixels, x, y, 21.4) for x, y in centers]
    np.testing.assert_allclose(fractions, expected, rtol=1e-12)
    assert fractions[0] == 1
    assert fractions[3] == 0


def test_masked_fraction_of_spots_below_a_pixel_and_of_pyramids() -> None:
    pixels = np.full((256, 256, 3), 200, np.uint8)
    pixels[:, :100] = 0
    pyramid = ArrayImage(pixels, pixels[::2, ::2])

    tiny = masked_fraction(pyramid, np.array([[50.2, 9.9], [150.0, 9.5]]), 0.2)
    np.testing.assert_array_equal(tiny, [1, 0])
    assert pyramid.used == {0}
    (half,) = masked_fraction(ArrayImage(pixels, pixels[::2, ::2]), np.array([[100.0, 128.0]]), 80.0)
    assert half == pytest.approx(0.5, abs=0.02)


def test_real_spots_on_masked_background(test_data: Path, tmp_path: Path) -> None:
    her2st = test_data / "her2st"
    centers, diameter_px = real_spots(her2st, "A2", scale=0.287109)

    fractions = masked_fraction(open_image(her2st / A2, tmp_path), centers, diameter_px)

    assert diameter_px == pytest.approx(31.25, abs=0.1)
    assert np.mean(fractions > 0.5) == pytest.approx(0.18, abs=0.01)


def test_a_real_slide_without_mask_and_its_reduced_copy(test_data: Path, tmp_path: Path) -> None:
    her2st = test_data / "her2st"
    image = open_image(her2st / C2, tmp_path)
    centers, diameter_px = real_spots(her2st, "C2")
    assert masked_fraction(image, centers, diameter_px).max() == 0

    whole = Image.fromarray(image.read(0, 0, *image.size))
    width, height = round(image.size[0] / 3.5), round(image.size[1] / 3.5)
    small = whole.resize((width, height), Image.Resampling.BOX)
    tifffile.imwrite(tmp_path / "reduced.tif", np.asarray(small))
    reduced = open_image(tmp_path / "reduced.tif", tmp_path)
    scale = width / image.size[0]

    patches = cut_patches(image, centers, 392.0, 112)
    from_reduced = cut_patches(reduced, centers * scale, 392.0 * scale, 112)

    assert np.abs(patches.astype(int) - from_reduced.astype(int)).mean() < 5
