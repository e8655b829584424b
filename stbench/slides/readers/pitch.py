"""The array of spots against their pixel centres: its arrangement, its pitch, and so the image's µm per pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stbench.slides.info import Grid

NO_FIT = "array positions do not follow the pixel centres: there is no grid, and no scale from it"
TOLERATED_STRETCH = 0.02
HEX_TOLERANCE = 0.15
"""Of the ratio 1/√3 between columns and rows; a checkerboard on a square lattice is 73 % off."""


@dataclass(frozen=True)
class Scale:
    """µm per pixel of an image (None: unknown), a phrase saying where it came from, and what was odd about it."""

    mpp: float | None
    source: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pitch:
    """Pixels from one array row to the next and from one array column to the next, and the fit's residual (RMS)."""

    row_px: float
    col_px: float
    rms_px: float

    @property
    def fits(self) -> bool:
        """Whether the pixel centres follow the array: residuals below a quarter of a step."""
        return self.rms_px < 0.25 * min(self.row_px, self.col_px)


def measure_pitch(array: ArrayLike, centers_px: ArrayLike) -> Pitch | None:
    """Least-squares affine fit of pixel centres (n, 2) on array coordinates (row, column), (n, 2).

    None where the positions do not span the plane.
    """
    design = np.column_stack([np.asarray(array, np.float64), np.ones(len(np.asarray(array)))])
    centers = np.asarray(centers_px, np.float64)
    if not (np.isfinite(design).all() and np.isfinite(centers).all()) or np.linalg.matrix_rank(design) < 3:
        return None
    affine, *_ = np.linalg.lstsq(design, centers, rcond=None)
    row_px, col_px = np.linalg.norm(affine[:2], axis=1)
    rms = np.sqrt(((centers - design @ affine) ** 2).sum(axis=1).mean())
    return Pitch(float(row_px), float(col_px), float(rms))


def is_checkerboard(array: ArrayLike) -> bool:
    """Whether every second position of a whole-numbered array is free, as on hexagonal and ST 2k arrays."""
    row, col = np.asarray(array, np.float64).T
    parity = (row + col) % 2
    return bool((parity == parity[0]).all()) and len(np.unique(row % 2)) == 2


def arrangement(array: ArrayLike, centers_px: ArrayLike) -> Grid:
    """Tell a hexagonal array from a square one, by where the pixel centres are.

    Hexagonal: a checkerboard of positions whose columns are 1/√3 as far apart as its rows. ``none`` if the pixel
    centres do not follow the array.
    """
    pitch = measure_pitch(array, centers_px)
    if pitch is None or not pitch.fits:
        return "none"
    is_hex = is_checkerboard(array) and abs(pitch.col_px / pitch.row_px * np.sqrt(3) - 1) < HEX_TOLERANCE
    return "hex" if is_hex else "square"


def scale_of_pitch(pitch: Pitch, row_um: float, col_um: float) -> Scale:
    """Geometric mean of the scales along rows and columns; a note if they differ by more than 2 %."""
    along_rows, along_cols = row_um / pitch.row_px, col_um / pitch.col_px
    mpp = float(np.sqrt(along_rows * along_cols))
    source = (
        f"array pitch: rows {row_um:.4g} µm = {pitch.row_px:.4g} px apart, "
        f"columns {col_um:.4g} µm = {pitch.col_px:.4g} px apart"
    )
    stretch = abs(along_rows / along_cols - 1)
    if stretch <= TOLERATED_STRETCH:
        return Scale(mpp, source)
    note = (
        f"the array's pitch gives {along_rows:.4g} µm/px from rows and {along_cols:.4g} µm/px from columns "
        f"({stretch:.0%} apart): the image may be stretched"
    )
    return Scale(mpp, source, (note,))
