"""Where a slide's patches come from: an image file, the centres of its spots, and the patch cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.slides import cache
from stbench.slides.image import SlideImage, open_image
from stbench.slides.patches import cut_patches, masked_fraction

CUT_VERSION = "1"
"""Raised when the cutting or resampling of patches changes."""


@dataclass(frozen=True)
class ImageSource:
    """An image on disk and the points of interest on it.

    Attributes
    ----------
    path
        The image file.
    digest
        Its SHA-256: the patch cache is addressed by content, never by path.
    centers_px
        (n, 2) pixel centres (x, y) of all spots loaded.
    cache_dir
        The cache's root.
    is_kept
        Whether what is computed from the image at these points stays in the cache; else it lives in memory.
    """

    path: Path
    digest: str
    centers_px: NDArray[np.float64]
    cache_dir: Path
    is_kept: bool = True

    @cached_property
    def image(self) -> SlideImage:
        """The image, opened when first needed."""
        return open_image(self.path, self.cache_dir / "images", self.digest)

    def at(self, centers_px: NDArray[np.float64]) -> ImageSource:
        """Return the same image with other points."""
        return replace(self, centers_px=centers_px)

    def passing(self, rows: NDArray[np.int64] | slice) -> ImageSource:
        """Return some of the points, whose patches are cut when asked for and not kept."""
        return replace(self, centers_px=self.centers_px[rows], is_kept=False)

    def cached(
        self,
        what: tuple[object, ...],
        shape: tuple[int, ...],
        dtype: type,
        fill: Callable[[NDArray[Any]], None],
    ) -> NDArray[Any]:
        """Per-point array computed from the image once and memory-mapped ever after (unless it is not to be kept).

        Parameters
        ----------
        what
            Everything the values depend on beside image and points; the first entry names the cache folder.
        shape
            Trailing shape; the array is (n, *shape).
        fill
            Called with the writable array.
        """
        if not self.is_kept:
            out: NDArray[Any] = np.empty((len(self.centers_px), *shape), dtype)
            fill(out)
            return out
        address = hashlib.sha256("|".join(map(str, (CUT_VERSION, self.digest, *what))).encode())
        address.update(np.ascontiguousarray(self.centers_px, "<f8").tobytes())
        key = address.hexdigest()
        path = self.cache_dir / str(what[0]) / key[:2] / f"{key}.npy"
        return cache.array(path, (len(self.centers_px), *shape), dtype, fill)

    def patches(self, *, pixels: int, side_px: float) -> NDArray[np.uint8]:
        """Square patches of `side_px` image pixels resampled to `pixels`, (n, pixels, pixels, 3) uint8."""

        def cut(out: NDArray[np.uint8]) -> None:
            cut_patches(self.image, self.centers_px, side_px, pixels, out=out)

        return self.cached(("patches", pixels, side_px), (pixels, pixels, 3), np.uint8, cut)

    def masked_fraction(self, diameter_px: float) -> NDArray[np.float64]:
        """Share of each point's disk on masked background, (n,)."""

        def measure(out: NDArray[np.float64]) -> None:
            out[:] = masked_fraction(self.image, self.centers_px, diameter_px)

        return self.cached(("masked", diameter_px), (), np.float64, measure)
