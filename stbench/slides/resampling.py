"""Any region of an image at any scale, from the coarsest pyramid level that is fine enough."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stbench.slides.regions import SlideImage

LEVEL_TOLERANCE = 1.01
"""Levels are rounded to whole pixels: one of 4.0003 serves a request for 4."""


def coarsest_level(image: SlideImage, downsample: float) -> int:
    """Level of the largest downsample up to the one asked for."""
    limit = max(1.0, downsample) * LEVEL_TOLERANCE
    enough = [level for level, each in enumerate(image.downsamples) if each <= limit]
    return max(enough, key=lambda level: image.downsamples[level])


def resampled(
    image: SlideImage, level: int, corner: tuple[float, float], extent: tuple[float, float], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Resample a rectangle with subpixel accuracy.

    Parameters
    ----------
    corner, extent
        Its left and top, width and height, in px of `level`; any part may lie outside of the image.
    size
        Width and height of the result.

    Returns
    -------
    (height, width, 3) RGB; white outside of the image.
    """
    from PIL import Image

    (left, top), (width, height) = corner, extent
    margin_x, margin_y = (  # half the filter's width
        math.ceil(max(side / pixels, 1.0)) + 1 for side, pixels in zip(extent, size, strict=True)
    )
    x, y = math.floor(left) - margin_x, math.floor(top) - margin_y
    region = image.read(x, y, math.ceil(width) + 2 * margin_x + 1, math.ceil(height) + 2 * margin_y + 1, level)
    box = (left - x, top - y, left - x + width, top - y + height)
    return np.asarray(Image.fromarray(region).resize(size, Image.Resampling.BILINEAR, box=box))
