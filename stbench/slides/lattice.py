"""Regular grids of spots over a whole image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stbench.errors import UsageError

POINTS_AT_ONCE = 1_000_000

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Lattice:
    """Spots at equal distances: in squares, or hexagonally with Visium's array columns (neighbours two apart).

    Attributes
    ----------
    grid
        Arrangement.
    pitch_px
        Distance of neighbouring centres in pixels.
    """

    grid: Literal["hex", "square"]
    pitch_px: float

    @property
    def row_px(self) -> float:
        """Distance of rows."""
        return self.pitch_px * (np.sqrt(3) / 2 if self.grid == "hex" else 1.0)

    def over(
        self, size: tuple[int, int], covers: Callable[[Points], NDArray[np.bool_]] | None = None
    ) -> tuple[NDArray[np.int64], Points]:
        """All spots whose centres lie on an image.

        Parameters
        ----------
        size
            Width and height of the image.
        covers
            Says of centres whether they are wanted; asked some rows at a time. None: all are.

        Returns
        -------
        Array positions (row, column) and centres (x, y), both (spots, 2), row by row.
        """
        width, height = size
        n_rows = max(0, int(np.ceil(height / self.row_px - 0.5)))
        n_columns = max(0, int(np.ceil(width / self.pitch_px - 0.5)))
        positions, centers = [np.empty((0, 2), np.int64)], [np.empty((0, 2))]
        step = max(1, POINTS_AT_ONCE // max(1, n_columns))
        for top in range(0, n_rows, step):
            row, nth = (a.ravel() for a in np.mgrid[top : min(top + step, n_rows), :n_columns])
            column = 2 * nth + row % 2 if self.grid == "hex" else nth
            places = np.column_stack([row, column])
            points = self._centers(places)
            inside = points[:, 0] < width  # odd rows of a hexagonal grid are shifted
            if covers is not None:
                inside &= covers(points)
            positions.append(places[inside])
            centers.append(points[inside])
        return np.concatenate(positions), np.concatenate(centers)

    def positions(self, centers_px: Points) -> Points:
        """Array positions (row, column) of any points, fractional between the spots, (points, 2)."""
        x, y = np.asarray(centers_px, np.float64).T
        column = (x / self.pitch_px - 0.5) * (2 if self.grid == "hex" else 1)
        return np.column_stack([y / self.row_px - 0.5, column])

    def _centers(self, positions: NDArray[np.int64]) -> Points:
        row, column = positions.T
        across = column / 2 if self.grid == "hex" else column
        return np.column_stack([(across + 0.5) * self.pitch_px, (row + 0.5) * self.row_px])


def pitch_of(centers_px: Points) -> float | None:
    """Usual distance of a spot to its nearest neighbour, in pixels; None of fewer than two spots."""
    from scipy.spatial import cKDTree

    if len(centers_px) < 2:
        return None
    return float(np.median(cKDTree(centers_px).query(centers_px, k=2)[0][:, 1]))


def require_positive(name: str, value: float) -> None:
    """Raise `UsageError` for a length that is none."""
    if not (np.isfinite(value) and value > 0):
        raise UsageError(f"{name} {value:g} is no length; give a number above 0")
