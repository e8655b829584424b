"""Holding a prediction to its contract, and telling whether two are the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stbench.models.contract import Prediction

Values = NDArray[np.float32]


def whole(prediction: Prediction, shape: tuple[int, int], when: str) -> Values:
    """Return a prediction, put together from its blocks if it comes in blocks.

    Raises
    ------
    AssertionError
        Wrong kind, shape or type, values that are not finite, blocks that leave spots out.
    """
    if not isinstance(prediction, Iterator):
        _require(prediction, shape, when)
        return prediction
    means = [np.empty((0, shape[1]), np.float32)]
    done = 0
    for item in prediction:
        legal = isinstance(item, tuple) and len(item) == 3
        assert legal, f"{when} gives a block of kind {type(item).__name__}; give (slice of spots, mean, std or None)"
        spots, mean, std = item
        block = f"spots {spots.start}–{spots.stop}"
        assert spots.start == done, f"{when} gives {block} after spot {done}; keep the order and leave none out"
        for values in (mean,) if std is None else (mean, std):
            _require(values, (spots.stop - spots.start, shape[1]), f"{when}, {block},")
        means.append(mean)
        done = spots.stop
    joined = np.concatenate(means)
    _require(joined, shape, when)
    return joined


def _require(values: object, shape: tuple[int, int], when: str) -> None:
    assert isinstance(values, np.ndarray), (
        f"{when} predicts a {type(values).__name__}; return a numpy array or an iterator of blocks"
    )
    assert values.shape == shape, f"{when} predicts shape {values.shape}; (spots, genes) is {shape}"
    assert values.dtype == np.float32, f"{when} predicts {values.dtype}; return float32"
    bad = int((~np.isfinite(values)).sum())
    assert not bad, f"{when} predicts {bad} values that are not finite"


def difference(first: Values, second: Values) -> float:
    """Largest difference, relative to the largest value (at least 1)."""
    return float(np.abs(first - second).max() / max(1.0, float(np.abs(first).max())))
