"""The tissue mask: stained areas of an image, at any size, and nothing of the glass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stbench.slides.regions import RegionImage
from stbench.slides.tissue import tissue_mask

GLASS, STAIN = (243, 241, 244), (190, 110, 170)


def image(pixels: np.ndarray) -> RegionImage:
    return RegionImage(Path("made.tif"), [pixels])


def painted(height: int, width: int, tissue: tuple[slice, slice], seed: int = 0) -> np.ndarray:
    pixels = np.empty((height, width, 3))
    pixels[:] = GLASS
    pixels[tissue] = STAIN
    noise = np.random.default_rng(seed).normal(0, 3, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("mpp", [0.5, 2.0, 8.0, None])
def test_points_on_tissue_are_told_from_points_on_glass(mpp: float | None) -> None:
    pixels = painted(900, 1300, (slice(200, 700), slice(300, 1000)))

    mask = tissue_mask(image(pixels), mpp)

    inside = np.random.default_rng(1).uniform((320, 220), (980, 680), (200, 2))
    outside = np.array([(10, 10), (1290, 890), (150, 450), (1150, 450), (-5, 300), (1500, 300), (600, -1), (600, 900)])
    assert mask.covers(inside).all()
    assert not mask.covers(outside).any()


def test_dust_is_no_tissue_and_small_holes_are_filled() -> None:
    pixels = painted(1000, 1000, (slice(100, 900), slice(100, 600)))
    pixels[400:420, 300:320] = GLASS  # 40 µm
    pixels[500:520, 800:820] = STAIN

    mask = tissue_mask(image(pixels), 2.0)

    assert mask.covers(np.array([(310, 410)])).all()
    assert not mask.covers(np.array([(810, 510)])).any()


def test_an_image_that_is_all_tissue_or_all_glass_is_not_split() -> None:
    everywhere, nowhere = slice(None), slice(0, 0)
    points = np.random.default_rng(0).uniform(20, 480, (100, 2))

    assert tissue_mask(image(painted(500, 500, (everywhere, everywhere))), 2.0).covers(points).all()
    assert not tissue_mask(image(painted(500, 500, (nowhere, nowhere))), 2.0).covers(points).any()
