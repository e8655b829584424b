"""A whole image at a coarse scale, read in strips: memory does not grow with the slide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.slides.regions import SlideImage

STRIP = 1024
"""Rows of the image's level read at a time."""


def averaged(image: SlideImage, wanted: float) -> tuple[NDArray[np.float32], float]:
    """Mean colours over squares of pixels.

    Parameters
    ----------
    wanted
        Level-0 pixels per side of a square, at least 1; the largest square not above it is taken that is a whole
        number of pixels of one of the image's levels.

    Returns
    -------
    (height, width, 3) in 0–255, and level-0 pixels per side of a square. Squares that reach beyond the image's edge are
    darkened.
    """
    from skimage.transform import downscale_local_mean

    level = max(i for i, d in enumerate(image.downsamples) if d <= wanted or i == 0)
    factor = max(1, int(wanted / image.downsamples[level]))
    width, height = (int(side / image.downsamples[level]) for side in image.size)
    rows = STRIP // factor * factor or factor
    strips = [
        downscale_local_mean(  # type: ignore[no-untyped-call]
            image.read(0, top, width, min(rows, height - top), level), (factor, factor, 1)
        ).astype(np.float32)
        for top in range(0, height, rows)
    ]
    return np.concatenate(strips), factor * image.downsamples[level]
