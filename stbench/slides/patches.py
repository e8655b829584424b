"""Square patches around spots, and the share of a spot on masked background: pure functions of an image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides.image import SlideImage
from stbench.slides.resampling import coarsest_level, resampled

BLACK = 2
"""A pixel whose largest channel is at most this is masked.

Measured on HER2+: the masks of A1 and A2 are exactly 0, and any threshold from 0 to 10 gives the same share
of masked spots; of the 460 million pixels of B4 and C2 to C5, which have no mask, two reach 2 or less.
"""

_DISK_PX = 32  # pixels across a spot that settle its masked share to a few per cent


def cut_patches(
    image: SlideImage,
    centers_px: NDArray[np.floating],
    side_px: float,
    pixels: int,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Cut a square around each centre and resample it.

    With ``side_px == pixels`` a patch is the exact slice from ``floor(centre) - pixels // 2``, as HisToGene
    cuts it. Otherwise the coarsest sufficient pyramid level is resampled. The filter is Pillow's BILINEAR, a
    triangle as wide as the reduction: its weights change continuously with the position of the square, so a
    shift of a tenth of a pixel shows, while BOX takes each source pixel fully or not at all and moves in
    whole pixels.

    Parameters
    ----------
    centers_px
        (n, 2) x and y in level-0 px; pixel i covers [i, i + 1).
    side_px
        Side of the square in level-0 px.
    pixels
        Side of the patch in its own pixels.
    out
        (n, pixels, pixels, 3) uint8 to write to, such as a memory map.

    Returns
    -------
    (n, pixels, pixels, 3) RGB; white outside of the image.

    Raises
    ------
    DataError
        If a centre is not finite, or the image is damaged.
    ValueError
        If a side is not positive or `out` has another shape or type.
    """
    centers_px = _finite_centers(image, centers_px)
    if not side_px > 0 or pixels < 1:
        raise ValueError(f"side_px={side_px} and pixels={pixels} must be positive")
    shape = (len(centers_px), pixels, pixels, 3)
    if out is None:
        out = np.empty(shape, np.uint8)
    elif out.shape != shape or out.dtype != np.uint8:
        raise ValueError(f"out is {out.dtype} {out.shape}; it must be uint8 {shape}")
    level = coarsest_level(image, side_px / pixels)
    for spot in _in_reading_order(centers_px, side_px):
        x, y = centers_px[spot]
        if side_px == pixels:
            left, top = math.floor(x) - pixels // 2, math.floor(y) - pixels // 2
            out[spot] = image.read(left, top, pixels, pixels)
        else:
            out[spot] = _square(image, level, x, y, side_px, pixels)
    return out


def masked_fraction(image: SlideImage, centers_px: NDArray[np.floating], diameter_px: float) -> NDArray[np.float64]:
    """Share of each spot's disk that lies on masked background (black, see `BLACK`).

    A pixel belongs to the disk if its centre does; a disk smaller than a pixel is the pixel around its
    centre. Pyramids are read at the coarsest level that leaves 32 pixels across the disk.

    Parameters
    ----------
    centers_px
        (n, 2) x and y in level-0 px.
    diameter_px
        Diameter of the spot in level-0 px.

    Returns
    -------
    (n,) in [0, 1]; what lies outside of the image is white, hence not masked.

    Raises
    ------
    DataError
        If a centre is not finite, or the image is damaged.
    """
    centers_px = _finite_centers(image, centers_px)
    level = coarsest_level(image, diameter_px / _DISK_PX)
    radius = max(diameter_px / image.downsamples[level] / 2, math.sqrt(0.5))
    side = math.ceil(2 * radius) + 1
    fractions = np.empty(len(centers_px))
    for spot in _in_reading_order(centers_px, diameter_px):
        x, y = centers_px[spot] / image.downsamples[level]
        left, top = math.floor(x - radius), math.floor(y - radius)
        distance_x = np.arange(left, left + side) + 0.5 - x
        distance_y = np.arange(top, top + side)[:, None] + 0.5 - y
        disk = distance_x**2 + distance_y**2 <= radius**2  # (side, side)
        masked = image.read(left, top, side, side, level).max(axis=2) <= BLACK
        fractions[spot] = masked[disk].mean()
    return fractions


def _finite_centers(image: SlideImage, centers_px: NDArray[np.floating]) -> NDArray[np.float64]:
    centers = np.asarray(centers_px, np.float64)
    if centers.ndim != 2 or centers.shape[1] != 2:
        raise ValueError(f"centers_px is {centers.shape}; it must be (n, 2)")
    missing = np.flatnonzero(~np.isfinite(centers).all(axis=1))
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(centers)} spots on {image.path} have no position "
            f"(the first is row {missing[0]}); drop them from the slide"
        )
    return centers


def _in_reading_order(centers_px: NDArray[np.float64], band_px: float) -> NDArray[np.intp]:
    """Spots band by band from the top, so that neighbours share decoded tiles."""
    return np.lexsort((centers_px[:, 0], np.floor(centers_px[:, 1] / max(band_px, 256.0))))


def _square(image: SlideImage, level: int, x: float, y: float, side_px: float, pixels: int) -> NDArray[np.uint8]:
    """One square resampled with subpixel accuracy, (pixels, pixels, 3)."""
    downsample = image.downsamples[level]
    side = side_px / downsample
    left, top = x / downsample - side / 2, y / downsample - side / 2
    return resampled(image, level, (left, top), (side, side), (pixels, pixels))
