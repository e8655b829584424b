"""The sufficient statistics of every moment metric: PCC, R², MSE, MAE, RMSE follow from them exactly.

Merging is exact (Chan, Golub & LeVeque 1983), so slides can be scored in blocks and pooled afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Values = NDArray[np.float32]

VALUES_PER_BLOCK = 1 << 17
"""Of a few arrays of float64 in a processor's cache: five times as fast as a million at a time."""
SPOTS_PER_BLOCK = 1 << 9

RESOLUTION = 4 * float(np.finfo(np.float32).eps)
"""Relative differences up to this are rounding noise of float32."""


@dataclass(frozen=True)
class Moments:
    """Per gene, (genes,): counts, means, centred sums of squares and products, and the sum of |prediction − truth|."""

    n: NDArray[np.int64]
    mean_true: Vector
    mean_pred: Vector
    ss_true: Vector
    ss_pred: Vector
    cross: Vector
    sum_abs: Vector

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of spots together.

        Means that differ by less than float32 resolves are alike: the constants a model predicts on two slides may
        differ by a rounding step, and that is no signal.
        """
        n = self.n + other.n
        total = np.maximum(n, 1)
        d_true = other.mean_true - self.mean_true
        d_pred = other.mean_pred - self.mean_pred
        share = other.n / total
        weight = self.n * share
        s_true = np.where(_differ(self.mean_true, other.mean_true), d_true, 0.0)
        s_pred = np.where(_differ(self.mean_pred, other.mean_pred), d_pred, 0.0)
        return Moments(
            n,
            self.mean_true + d_true * share,
            self.mean_pred + d_pred * share,
            self.ss_true + other.ss_true + s_true**2 * weight,
            self.ss_pred + other.ss_pred + s_pred**2 * weight,
            self.cross + other.cross + s_true * s_pred * weight,
            self.sum_abs + other.sum_abs,
        )


def gene_moments(truth: Values, prediction: Values, measured: NDArray[np.bool_]) -> Moments:
    """Moments of each gene over the spots where it was measured.

    Parameters
    ----------
    truth, prediction
        (spots, genes).
    measured
        (spots, genes) bool; entries that are False do not count.

    Notes
    -----
    Sums are float64. A column whose spread is below the resolution of float32 is constant: its sum of squares is
    exactly 0, so that rounding noise is never correlated with anything. Long columns are taken in blocks that fit a
    processor's cache, and merged.
    """
    n_spots, n_genes = truth.shape
    step = max(SPOTS_PER_BLOCK, VALUES_PER_BLOCK // max(1, n_genes))
    blocks = (slice(start, start + step) for start in range(0, max(1, n_spots), step))
    return reduce(Moments.merge, (_moments_of(truth[b], prediction[b], measured[b]) for b in blocks))


def _moments_of(truth: Values, prediction: Values, measured: NDArray[np.bool_]) -> Moments:
    kept = None if measured.size and measured.all() else measured.T  # (genes, spots), as all that follows
    n = np.full(truth.shape[1], len(truth)) if kept is None else kept.sum(1)
    y, p = (_by_gene(values, kept) for values in (truth, prediction))
    sum_abs = np.abs(p - y).sum(1)
    mean_true, mean_pred = (v.sum(1) / np.maximum(n, 1) for v in (y, p))
    for values, mean in ((y, mean_true), (p, mean_pred)):
        has_spread = _varies(values, kept)[:, None]
        values -= mean[:, None]
        values *= has_spread if kept is None else has_spread & kept
    ss_true, ss_pred, cross = (np.einsum("gs,gs->g", a, b) for a, b in ((y, y), (p, p), (y, p)))
    return Moments(n.astype(np.int64), mean_true, mean_pred, ss_true, ss_pred, cross, sum_abs)


def varies(values: Values, measured: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which columns of (spots, genes) vary by more than float32 resolves, over the entries measured, (genes,)."""
    return _varies(np.asarray(values).T, None if measured.size and measured.all() else measured.T)


def _by_gene(values: Values, kept: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """A copy as (genes, spots) float64, 0 where nothing was measured."""
    by_gene = np.array(values, np.float64, order="F").T
    return by_gene if kept is None else np.where(kept, by_gene, 0.0)


def _varies(values: NDArray[np.floating], kept: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    if kept is None:
        return _differ(values.min(1), values.max(1))
    high = np.where(kept, values, -np.inf).max(1, initial=-np.inf)
    low = np.where(kept, values, np.inf).min(1, initial=np.inf)
    return _differ(low, high)


def _differ(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(b - a) > RESOLUTION * np.maximum(np.abs(a), np.abs(b)))
