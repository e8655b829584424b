from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stbench.slides.patches import cut_patches
from stbench.slides.regions import RegionImage
from stbench.slides.resampling import coarsest_level, resampled


def image(height: int = 90, width: int = 120, levels: int = 1) -> RegionImage:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return RegionImage(Path("array"), [pixels[:: 2**level, :: 2**level] for level in range(levels)])


def test_whole_pixels_are_the_images_own_and_white_beyond() -> None:
    made = image()

    seen = resampled(made, 0, (-10.0, 5.0), (40.0, 20.0), (40, 20))

    np.testing.assert_array_equal(seen, made.read(-10, 5, 40, 20))
    assert (seen[:, :10] == 255).all()


def test_a_square_is_a_patch() -> None:
    made = image()

    patch = cut_patches(made, np.array([[50.3, 40.7]]), side_px=30.0, pixels=16)[0]

    np.testing.assert_array_equal(resampled(made, 0, (35.3, 25.7), (30.0, 30.0), (16, 16)), patch)


@pytest.mark.parametrize("per_px", [0.5, 1.7, 2.0])
def test_a_part_is_cut_from_the_whole(per_px: float) -> None:
    made = image()
    whole = resampled(made, 0, (0.0, 0.0), (48 * per_px, 32 * per_px), (48, 32))

    part = resampled(made, 0, (8 * per_px, 4 * per_px), (24 * per_px, 16 * per_px), (24, 16))

    # Pillow rounds, and its boxes are of single precision
    assert np.abs(part.astype(int) - whole[4:20, 8:32]).max() <= (0 if (2 * per_px).is_integer() else 1)


def test_the_coarsest_level_that_is_fine_enough() -> None:
    made = image(levels=3)

    assert [coarsest_level(made, downsample) for downsample in (0.5, 1.0, 1.9, 1.99, 2.0, 3.9, 4.0, 100.0)] == [
        0, 0, 0, 1, 1, 1, 2, 2,
    ]  # fmt: skip
