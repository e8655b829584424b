"""How far two sets of numbers lie apart; pure: arrays in, values out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Difference:
    """Differences between values then and now.

    Attributes
    ----------
    n, n_different
        Values compared, and those whose bits differ.
    largest
        The largest absolute difference.
    relative
        The largest difference over the spread of the values then.
    """

    n: int = 0
    n_different: int = 0
    largest: float = 0.0
    relative: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return vars(self)


def union(parts: Iterable[Difference]) -> Difference:
    """Several differences as one: counts are added, the largest stays."""
    total = Difference()
    for part in parts:
        total = Difference(
            total.n + part.n,
            total.n_different + part.n_different,
            max(total.largest, part.largest),
            max(total.relative, part.relative),
        )
    return total


def difference(then: Array, now: Array, spread: Array | float | None = None) -> Difference:
    """Compare two arrays of one shape and type; NaN equals NaN.

    Parameters
    ----------
    spread
        What a difference is relative to; by default the standard deviation of `then`.
    """
    if then.size == 0:
        return Difference()
    same = _bits(then) == _bits(now)
    if spread is None:
        finite = then[np.isfinite(then)]
        spread = float(finite.std(dtype=np.float64)) if finite.size else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(now.astype(np.float64) - then.astype(np.float64))
        apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))  # a value that came or went
        relative = np.where(apart == 0, 0.0, apart / spread)
    return Difference(then.size, int((~same).sum()), float(apart.max()), float(relative.max()))


def moments_difference(then: pd.DataFrame, now: pd.DataFrame) -> Difference:
    """Compare rows of moments that stand in the same order.

    Each gene's predictions enter by four numbers in target units that cannot move further than they do, so that the
    tolerance means the same as for predictions: their mean, their standard deviation, their covariance with the truth
    over the truth's standard deviation, and their mean absolute error.
    """
    columns = ["n", "mean_true", "mean_pred", "ss_true", "ss_pred", "cross", "sum_abs"]
    exact = difference(then[columns].to_numpy(np.float64), now[columns].to_numpy(np.float64))
    old, new = _in_target_units(then), _in_target_units(now)
    # of all predictions together: within genes, and between them
    spread = float(np.sqrt(np.mean(old[:, 1] ** 2) + np.var(old[:, 0]))) if len(old) else 0.0
    apart = difference(old, new, spread)
    return Difference(exact.n, exact.n_different, apart.largest, apart.relative)


def _in_target_units(moments: pd.DataFrame) -> NDArray[np.float64]:
    n = np.maximum(moments["n"].to_numpy(np.float64), 1)
    ss_true = moments["ss_true"].to_numpy()
    slope = moments["cross"].to_numpy() / np.sqrt(n * np.where(ss_true > 0, ss_true, np.inf))
    return np.column_stack(
        [moments["mean_pred"], np.sqrt(moments["ss_pred"] / n), slope, moments["sum_abs"].to_numpy() / n]
    )


def _bits(values: Array) -> Array:
    canonical = np.where(np.isnan(values), np.asarray(np.nan, values.dtype), values)
    return np.ascontiguousarray(canonical).view(f"u{values.dtype.itemsize}")
