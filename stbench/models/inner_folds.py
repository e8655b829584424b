"""Folds inside the training slides, for choosing a parameter without looking at validation or test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from stbench.errors import UsageError
from stbench.slides import Slide

InnerFold = tuple[list[Slide], list[Slide]]

BLOCKS = 5


def inner_folds(
    train: Sequence[Slide], by: Literal["patient", "slide", "block", "auto"] = "auto", n_folds: int | None = None
) -> list[InnerFold]:
    """Split training slides into (fit, held-out) pairs.

    Parameters
    ----------
    by
        Unit left out: ``patient``, ``slide``, one of five contiguous ``block`` bands of each slide; ``auto`` takes the
        first of these of which there are at least two.
    n_folds
        Two or more: leave out every n-th unit by name, in turn; None: one unit at a time. Blocks are always five.

    Raises
    ------
    UsageError
        If there are not two such units.
    """
    patients = {slide.info.patient for slide in train}
    if by == "auto":
        by = "patient" if len(patients) > 1 else "slide" if len(train) > 1 else "block"
    if by == "block":
        bands = [np.clip(_rank(slide) * BLOCKS, 0, BLOCKS - 1).astype(int) for slide in train]
        folds = [
            (
                [s.subset(band != b) for s, band in zip(train, bands, strict=True)],
                [s.subset(band == b) for s, band in zip(train, bands, strict=True)],
            )
            for b in range(BLOCKS)
        ]
        return [(fit, held) for fit, held in folds if all(s.n_spots for s in (*fit, *held))]
    names = [slide.info.patient if by == "patient" else slide.info.id for slide in train]
    units = sorted(set(names))
    if len(units) < 2:
        raise UsageError(f"inner folds by {by} need two of them in the training slides; use by='auto'")
    n_folds = min(n_folds or len(units), len(units))
    return [
        (
            [s for s, n in zip(train, names, strict=True) if n not in units[f::n_folds]],
            [s for s, n in zip(train, names, strict=True) if n in units[f::n_folds]],
        )
        for f in range(n_folds)
    ]


def _rank(slide: Slide) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Each spot's quantile among the array rows, in 0–1."""
    row = slide.array_positions[:, 0]
    return np.searchsorted(np.sort(row), row) / len(row)
