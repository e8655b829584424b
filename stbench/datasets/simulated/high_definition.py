"""Simulated Visium HD: square bins without gaps, whose counts at 2 µm sum exactly to those at 8 and 16 µm.

A bin expects what a spot of its area would: the gene programme, regions, nuclei and hidden fields of `expression`,
read at the bin's centre. Counts are Poisson in each of the smallest bins (no further spread, no dropout); larger bins
are sums. A section larger than 1280 µm is tiled from sections grown one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.datasets.simulated.expression import GENES, Rates
from stbench.datasets.simulated.tissue import REGIONS, SIZE_PX, SPOT_DIAMETER_UM, Ground, grow_ground
from stbench.errors import UsageError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

COARSEST_UM = 16
"""A square of this size is on tissue or not as a whole, so that all bin sizes cover the same ground."""
BIN_SIZES = (2, 8, 16)

_STRIP_UM = 64  # drawn at once: 20,480 bins of 2 µm
_TILE_SECTIONS = 1000  # sections of one patient before their tiles would be alike
_COUNTS = 20  # random stream, after those of the tissue and of the spots' expression


@dataclass(frozen=True)
class BinBlock:
    """Some bins of one size, all on tissue.

    Attributes
    ----------
    array_row, array_col
        Position in the section's grid of this bin size ``(bins,)``.
    region
        Region at each bin's centre ``(bins,)``.
    counts
        ``(bins, genes)`` int32.
    expected
        Mean that the counts were drawn around ``(bins, genes)`` float32.
    """

    array_row: NDArray[np.int64]
    array_col: NDArray[np.int64]
    region: NDArray[np.str_]
    counts: csr_matrix
    expected: NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """One grown section in its place: the pixel (x, y) of its corner, and its size within the whole."""

    x: int
    y: int
    width: int
    height: int
    ground: Ground
    section: int

    @property
    def image(self) -> NDArray[np.uint8]:
        """The part of the grown image that the whole shows."""
        return self.ground.image[: self.height, : self.width]


@dataclass(frozen=True)
class HDSection:
    """A section with bins.

    Attributes
    ----------
    size_um
        Width and height, multiples of 16 µm; the image has 1 µm per pixel.
    bins
        Bin sizes in µm, ascending; `drawn_um` divides each and each divides 16.
    drawn_um
        The size that counts are drawn at: 2, or larger where only larger bins are of interest.
    patient, section, seed
        Name the section, as for `grow_tissue`.
    """

    size_um: tuple[int, int] = (SIZE_PX, SIZE_PX)
    bins: tuple[int, ...] = BIN_SIZES
    patient: int = 0
    section: int = 0
    seed: int = 0
    drawn_um: int = 2

    def __post_init__(self) -> None:
        sizes = (*self.bins, self.drawn_um)
        if not self.bins or min(sizes) < 1 or any(COARSEST_UM % b or b % self.drawn_um for b in self.bins):
            raise UsageError(
                f"bins {self.bins} drawn at {self.drawn_um} µm: each must be a multiple of it that divides 16"
            )
        if min(self.size_um) < COARSEST_UM or any(side % COARSEST_UM for side in self.size_um):
            raise UsageError(f"size_um {self.size_um}: width and height must be multiples of {COARSEST_UM} µm")
        if self.section >= _TILE_SECTIONS:
            raise UsageError(f"section {self.section}: there are {_TILE_SECTIONS} for each patient")

    def shape(self, bin_um: int) -> tuple[int, int]:
        """Rows and columns of the grid of a bin size."""
        width, height = self.size_um
        return height // bin_um, width // bin_um

    def tiles(self) -> Iterator[Tile]:
        """Grow the tiles, row by row; the first is the section of this name in `simulated`."""
        width, height = self.size_um
        number = 0
        for y in range(0, height, SIZE_PX):
            for x in range(0, width, SIZE_PX):
                section = self.section + _TILE_SECTIONS * number
                ground = grow_ground(self.patient, section, self.seed)
                yield Tile(x, y, min(SIZE_PX, width - x), min(SIZE_PX, height - y), ground, section)
                number += 1

    def blocks(self, tile: Tile) -> Iterator[dict[int, BinBlock]]:
        """Draw the bins of a tile, a strip at a time: for each bin size, those on tissue."""
        rates = Rates(self.patient, tile.section, self.seed)
        rng = np.random.default_rng([self.seed, self.patient, tile.section, _COUNTS])
        for top in range(0, tile.height, _STRIP_UM):
            high = min(_STRIP_UM, tile.height - top)
            coarse_y, coarse_x = np.mgrid[top : top + high : COARSEST_UM, 0 : tile.width : COARSEST_UM]
            middle = COARSEST_UM // 2
            on_tissue = tile.ground.layout.tissue[coarse_y + middle, coarse_x + middle] >= 1
            corners = np.column_stack([coarse_x[on_tissue], coarse_y[on_tissue]])  # (squares, 2)
            if len(corners):
                yield self._squares(tile, corners, rates, rng)

    def _squares(
        self, tile: Tile, corners: NDArray[np.int64], rates: Rates, rng: np.random.Generator
    ) -> dict[int, BinBlock]:
        from scipy.sparse import csr_matrix

        drawn = self.drawn_um
        centers = (_bin_corners(corners, drawn) + drawn / 2).astype(np.float64)
        x, y = centers.astype(np.intp).T
        region = np.array(REGIONS)[tile.ground.layout.region[y, x]]
        share = rates.log_share(region, tile.ground.nuclei_around(centers), centers)
        spots = drawn**2 / (np.pi * SPOT_DIAMETER_UM**2 / 4)  # areas of a spot that a bin has
        mean = np.exp(share, out=share)
        mean *= rates.library_depth * spots
        counts = rng.poisson(mean).astype(np.int32)
        made = {}
        for bin_um in self.bins:
            at = _bin_corners(corners, bin_um)
            bin_x, bin_y = (at + bin_um / 2).astype(np.intp).T
            made[bin_um] = BinBlock(
                (at[:, 1] + tile.y) // bin_um,
                (at[:, 0] + tile.x) // bin_um,
                np.array(REGIONS)[tile.ground.layout.region[bin_y, bin_x]],
                csr_matrix(_sum_bins(counts, drawn, bin_um)),
                _sum_bins(mean, drawn, bin_um).astype(np.float32),
            )
        return made


def _bin_corners(squares: NDArray[np.int64], bin_um: int) -> NDArray[np.int64]:
    """Corners x, y of the bins within 16 µm squares, square by square and row by row."""
    y, x = np.mgrid[0:COARSEST_UM:bin_um, 0:COARSEST_UM:bin_um]
    within = np.column_stack([x.ravel(), y.ravel()])
    return np.asarray((squares[:, None] + within).reshape(-1, 2))


def _sum_bins(values: NDArray[Any], drawn_um: int, bin_um: int) -> NDArray[Any]:
    """Sum drawn bins, ordered as by `_bin_corners`, to larger ones."""
    if drawn_um == bin_um:
        return values
    across, each = COARSEST_UM // bin_um, bin_um // drawn_um
    split = values.reshape(-1, across, each, across, each, len(GENES))
    return np.asarray(split.sum(axis=(2, 4), dtype=values.dtype).reshape(-1, len(GENES)))
