"""A slide at the model's scale, in tiles whose grid is anchored to the image, whatever spots are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stbench.slides import Slide
from stbench.slides.resampling import coarsest_level, resampled
from stbench_pixnet.footprints import Footprints, Shape
from stbench_pixnet.params import Footprint


class Window(NamedTuple):
    """A rectangle of a canvas, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


@dataclass(frozen=True)
class Canvas:
    """The image of a slide at the model's scale, with white at its right and bottom up to whole steps.

    Attributes
    ----------
    slide
        Whose image it is.
    mpp
        µm per pixel of the canvas.
    step
        Windows lie on multiples of it: pixels per cell of the coarsest features.
    """

    slide: Slide
    mpp: float
    step: int

    @property
    def scale(self) -> float:
        """Pixels of the canvas per pixel of the image."""
        return self.slide.mpp / self.mpp

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image on it."""
        width, height = (max(1, math.ceil(side * self.scale - 1e-6)) for side in self.slide.image.size)
        return width, height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        width, height = (math.ceil(side / self.step) * self.step for side in self.image_size)
        return width, height

    def tiles(self, side: int) -> tuple[int, int]:
        """Columns and rows of tiles."""
        columns, rows = (math.ceil(extent / self.rounded(side)) for extent in self.size)
        return columns, rows

    def rounded(self, pixels: float) -> int:
        """Whole steps that hold so many pixels."""
        return math.ceil(pixels / self.step) * self.step

    def tile(self, index: int, side: int, halo: float = 0) -> Window:
        """Window of a tile, which reaches `halo` beyond it except at the border of the canvas."""
        row, column = divmod(index, self.tiles(side)[0])
        side, halo = self.rounded(side), self.rounded(halo)
        (width, height), left, top = self.size, column * side, row * side
        return Window(
            max(left - halo, 0),
            max(top - halo, 0),
            min(left + side + halo, width),
            min(top + side + halo, height),
        )

    def tile_of(self, centers_px: NDArray[np.float64], side: int) -> NDArray[np.int64]:
        """Index of the tile that holds each centre, or of the nearest one, (n,)."""
        columns, rows = self.tiles(side)
        column, row = np.clip(centers_px // self.rounded(side), 0, (columns - 1, rows - 1)).astype(np.int64).T
        return np.asarray(row * columns + column)

    def occupied(self, centers_px: NDArray[np.float64], side: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Tiles that hold centres, and the rows of the centres they hold, tile by tile."""
        tile = self.tile_of(centers_px, side)
        order = np.argsort(tile, kind="stable")
        indices, starts = np.unique(tile[order], return_index=True)
        for index, rows in zip(indices, np.split(order, starts[1:]), strict=True):
            yield int(index), rows

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Pixels of a window, (height, width, 3) RGB; white beyond the image."""
        image = self.slide.image
        level = coarsest_level(image, 1 / self.scale)
        per_px = 1 / (self.scale * image.downsamples[level])  # pixels of the level
        width, height = window.size
        corner = (window.left * per_px, window.top * per_px)
        return resampled(image, level, corner, (width * per_px, height * per_px), (width, height))


@dataclass(frozen=True)
class SpotsOnCanvas:
    """Where a slide's spots lie on a canvas, and what they cover.

    Attributes
    ----------
    centers_px
        (spots, 2) x and y in pixels of the canvas.
    size_px
        Diameter or side of all of them.
    shape
        What they cover.
    """

    centers_px: NDArray[np.float64]
    size_px: float
    shape: Shape

    @classmethod
    def of(cls, slide: Slide, canvas: Canvas, footprint: Footprint) -> SpotsOnCanvas:
        """Spots of a slide; another shape than their own has the same area."""
        size = slide.info.spot_um / canvas.mpp
        own: Shape = "disk" if slide.info.spot_shape == "circle" else "square"
        shape: Shape = own if footprint == "own" else footprint
        if shape != own:
            size *= 2 / math.sqrt(math.pi) if shape == "disk" else math.sqrt(math.pi) / 2
        # beyond the image there is no pixel to take: the nearest one stands for it
        centers = np.clip(slide.centers_px * canvas.scale, 0, np.nextafter(canvas.image_size, 0))
        return cls(centers, size, shape)

    @property
    def reach(self) -> float:
        """How far a footprint and its enlargement reach from a centre."""
        return self.size_px / 2 + 1

    def on(self, window: Window, rows: NDArray[np.int64]) -> Footprints:
        """Footprints of some spots in pixels of a window."""
        return Footprints(self.centers_px[rows] - (window.left, window.top), self.size_px, self.shape)
