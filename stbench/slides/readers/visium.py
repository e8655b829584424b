"""The scale of Visium images: 55 µm spots, 100 µm apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stbench.slides.readers.pitch import Scale, measure_pitch, scale_of_pitch

SPOT_UM = 55.0
ROW_UM = 50 * np.sqrt(3)
COL_UM = 50.0
"""Visium spots are 100 µm apart on a hexagonal array whose horizontal neighbours are two columns apart."""

TAKEN_FOR_VISIUM = "the array is hexagonal: taken for Visium, 55 µm spots 100 µm apart"

FIDUCIAL_UM = 105.0
"""What Space Ranger's ``fiducial_diameter_fullres`` measures. Against the array's pitch it is 104.8 µm in two real
outputs, while ``spot_diameter_fullres`` is 64.9 µm in one (and 65 in 10x's documentation) and 69.8 µm in another,
older one: never the 55 µm of the printed spot."""

TOLERATED_DISAGREEMENT = 0.05


def visium_scale(array: ArrayLike, centers_px: ArrayLike, scalefactors: Mapping[str, Any], factor: float) -> Scale:
    """Scale of a Visium image, from the pitch of its array, else from the fiducials Space Ranger measured.

    Parameters
    ----------
    array, centers_px
        Array coordinates (row, column) and pixel centres (x, y) in the image at hand, (n, 2).
    scalefactors
        ``scalefactors_json.json``; may be empty.
    factor
        Pixels of the image at hand per full-resolution pixel.
    """
    fiducial = scale_of_fiducials(scalefactors, factor)
    pitch = measure_pitch(array, centers_px)
    if pitch is None:
        return fiducial
    if not pitch.fits:
        note = (
            f"array positions and pixel centres disagree (residual {pitch.rms_px:.3g} px at a pitch of "
            f"{pitch.col_px:.3g} px); the scale was not taken from them"
        )
        return Scale(fiducial.mpp, fiducial.source, (note, *fiducial.notes))
    scale = scale_of_pitch(pitch, ROW_UM, COL_UM)
    if scale.mpp and fiducial.mpp and abs(fiducial.mpp / scale.mpp - 1) > TOLERATED_DISAGREEMENT:
        note = f"the array's pitch says {scale.mpp:.4g} µm/px, {fiducial.source} says {fiducial.mpp:.4g}: pitch taken"
        return Scale(scale.mpp, scale.source, (*scale.notes, note))
    return scale


def scale_of_fiducials(scalefactors: Mapping[str, Any], factor: float) -> Scale:
    """Scale from ``fiducial_diameter_fullres``.

    ``spot_diameter_fullres`` alone is not trusted: 65 µm or 70 µm, by version, and other tools put anything there.
    """
    try:
        diameter = float(scalefactors["fiducial_diameter_fullres"])
    except (KeyError, TypeError, ValueError):
        return Scale(None)
    if not (np.isfinite(diameter) and diameter > 0):
        return Scale(None)
    return Scale(FIDUCIAL_UM / (diameter * factor), f"fiducial_diameter_fullres ({FIDUCIAL_UM:g} µm)")
