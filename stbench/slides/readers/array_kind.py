"""Which array a table of spots is of, from its positions and the spots' names: what no column says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stbench.slides.info import Grid
from stbench.slides.readers import visium
from stbench.slides.readers.pitch import (
    NO_FIT,
    TOLERATED_STRETCH,
    Pitch,
    Scale,
    arrangement,
    is_checkerboard,
    measure_pitch,
    scale_of_pitch,
)

SPOT_UM = 100.0
ASSUMED = f"the tables do not say how large a spot is; {SPOT_UM:g} µm assumed"

ST_NAME = re.compile(r"-?\d+(\.\d+)?x-?\d+(\.\d+)?")
ST_PITCH_UM = 200.0
ST_POSITIONS = 35
"""The ST 1k array has 33 × 31 spots at 1 … 35, each 100 µm wide and 200 µm from the next (Ståhl et al. 2016)."""

ST_2K_SPACING_UM = 150.0
"""From a spot of the ST 2k array (1,934 spots, every second position) to the nearest other, which lies diagonally."""


def st_pitch_um(array: ArrayLike) -> float:
    """µm from one position of an ST array to the next.

    It is the 2k array where every second position is free, or positions go beyond those of the 1k array.

    Parameters
    ----------
    array
        Whole array coordinates, (n, 2).
    """
    is_2k = is_checkerboard(array) or np.max(array) > ST_POSITIONS
    return float(ST_2K_SPACING_UM / np.sqrt(2)) if is_2k else ST_PITCH_UM


@dataclass(frozen=True)
class ArrayKind:
    """Arrangement, technology (empty: unknown), spot size in µm and the image's scale."""

    grid: Grid
    technology: str
    spot_um: float
    scale: Scale


def tell_array(array: NDArray[np.float64] | None, centers_px: NDArray[np.float64], names: Sequence[str]) -> ArrayKind:
    """Tell Visium (hexagonal), the ST 1k array (names XxY, every position up to 35 may hold a spot) and others apart.

    The scale of other arrays stays unknown: their pitch in pixels goes to the notes.

    Parameters
    ----------
    array
        Array coordinates (row, column), whole or adjusted; None if they keep no two spots apart.
    centers_px
        Pixel centres (x, y).
    """
    technology = "ST" if all(map(ST_NAME.fullmatch, names)) else ""
    if array is None:
        return ArrayKind("none", technology, SPOT_UM, Scale(None, notes=(ASSUMED,)))
    grid, pitch = arrangement(np.around(array), centers_px), measure_pitch(array, centers_px)
    if pitch is None or grid == "none":
        return ArrayKind("none", technology, SPOT_UM, Scale(None, notes=(ASSUMED, NO_FIT)))
    if grid == "hex":
        scale = visium.visium_scale(array, centers_px, {}, 1.0)
        said = Scale(scale.mpp, scale.source, (visium.TAKEN_FOR_VISIUM, *scale.notes))
        return ArrayKind(grid, "Visium", visium.SPOT_UM, said)
    checkerboard = is_checkerboard(np.around(array))
    if technology and array.min() >= 0 and array.max() <= ST_POSITIONS and not checkerboard:
        return ArrayKind(grid, technology, SPOT_UM, scale_of_pitch(pitch, ST_PITCH_UM, ST_PITCH_UM))
    notes = (ASSUMED, _pitch_in_words(pitch, step=2 if checkerboard else 1))
    return ArrayKind(grid, technology, SPOT_UM, Scale(None, notes=notes))


def _pitch_in_words(pitch: Pitch, step: int) -> str:
    along_x, along_y = pitch.col_px * step, pitch.row_px * step
    note = f"neighbours in a row are {along_x:.4g} px apart, in a column {along_y:.4g} px; how many µm is unknown"
    stretch = abs(along_x / along_y - 1)
    if stretch <= TOLERATED_STRETCH:
        return note
    return f"{note} (they differ by {stretch:.0%}: the image may be stretched)"
