"""What images of slides have in common: levels read by regions, as 8 bit RGB on white."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError

WHITE = 255


class SlideImage(ABC):
    """An H&E image whose regions are read without loading the file.

    Parameters
    ----------
    path
        The file, for messages.
    sizes
        (width, height) of every pyramid level in its own pixels, the finest first.
    mpp
        µm per level-0 px if the file says, else None.

    Attributes
    ----------
    size
        (width, height) in level-0 px.
    downsamples
        Level-0 px per px of each level; the first is 1.0.
    """

    def __init__(self, path: Path, sizes: Sequence[tuple[int, int]], mpp: float | None = None) -> None:
        self.path = path
        self.size = sizes[0]
        self.mpp = mpp
        self.downsamples = tuple(_downsample(self.size, size) for size in sizes)
        self._sizes = tuple(sizes)

    @abstractmethod
    def _inside(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """Pixels (rows, columns, 3) of a region that lies inside of the level."""

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> NDArray[np.uint8]:
        """Read the region whose top left pixel is (x, y).

        Parameters
        ----------
        x, y, width, height
            In pixels of `level`; any part of the region may lie outside of the image.

        Returns
        -------
        (height, width, 3) RGB; white (255) outside of the image.

        Raises
        ------
        DataError
            If the file is damaged at this place.
        """
        level_width, level_height = self._sizes[level]
        left, right = max(x, 0), min(x + width, level_width)
        top, bottom = max(y, 0), min(y + height, level_height)
        region = np.full((height, width, 3), WHITE, np.uint8)
        if left < right and top < bottom:
            pixels = self._inside(level, slice(top, bottom), slice(left, right))
            region[top - y : bottom - y, left - x : right - x] = pixels
        return region


class RegionImage(SlideImage):
    """Pyramid levels that are (h, w, 3) arrays or know how to read their regions."""

    def __init__(self, path: Path, levels: Sequence[Any], mpp: float | None = None) -> None:
        super().__init__(path, [(level.shape[1], level.shape[0]) for level in levels], mpp)
        self._levels = levels

    def _inside(self, level: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = self._levels[level][rows, columns]
        return pixels


def to_rgb(samples: NDArray[Any], has_alpha: bool) -> NDArray[np.uint8]:
    """Return (h, w) or (h, w, 1 to 4) of 1, 8 or 16 bit as (h, w, 3) uint8, alpha composited on white."""
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.dtype == np.bool_:
        samples = samples * np.uint8(255)
    elif samples.dtype.itemsize == 2:
        samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 / 255 = 257
    colours = samples.shape[2] - 1 if samples.shape[2] in (2, 4) else samples.shape[2]
    rgb = np.broadcast_to(samples[..., :colours], (*samples.shape[:2], 3))
    if has_alpha and colours < samples.shape[2]:
        alpha = samples[..., colours:].astype(np.uint16)
        rgb = ((rgb * alpha + WHITE * (255 - alpha) + 127) // 255).astype(np.uint8)
    return rgb


def damaged(path: Path) -> DataError:
    """Return the error to raise for a file whose bytes make no image."""
    return DataError(f"{path} is truncated or not an image; fetch it again")


def _downsample(size: tuple[int, int], reduced: tuple[int, int]) -> float:
    """Level-0 px per px; pyramids halve and round, so a near-integer ratio is that integer."""
    ratio = math.sqrt(size[0] / reduced[0] * size[1] / reduced[1])
    whole = round(ratio)
    rounded = all(abs(full - whole * part) < whole for full, part in zip(size, reduced, strict=True))
    return float(whole) if rounded else ratio
