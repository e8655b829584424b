"""A slide's spots as the cells of a rectangle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stbench.slides import Slide

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Raster:
    """Where each spot of a slide lies in a map.

    Attributes
    ----------
    row, column
        Cell of each spot, (spots,).
    shape
        Rows and columns of a map.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    shape: tuple[int, int]

    @classmethod
    def of(cls, slide: Slide) -> Raster | None:
        """Raster of a slide's array; None where it has none, or two spots share a position.

        On a hexagonal array neighbours in a row are two columns apart: both kinds of rows are moved together.
        """
        if slide.info.grid == "none" or not slide.n_spots:
            return None
        row, column = slide.array_positions.round().astype(np.int64).T
        if slide.info.grid == "hex":
            column = column // 2
        row, column = row - row.min(), column - column.min()
        shape = int(row.max()) + 1, int(column.max()) + 1
        if len(np.unique(row * shape[1] + column)) < slide.n_spots:
            return None
        return cls(row, column, shape)

    def maps(self, values: Values) -> Values:
        """Maps of (spots, genes), (genes, rows, columns); 0 where there is no spot."""
        maps = np.zeros((values.shape[1], *self.shape))
        maps[:, self.row, self.column] = values.T
        return maps

    def spots(self, maps: Values) -> Values:
        """Values at the spots, (spots, genes), of maps (genes, rows, columns)."""
        return np.asarray(maps[:, self.row, self.column].T)
