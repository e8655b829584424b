"""The sufficient statistics of every moment metric: PCC, R², MSE, MAE, RMSE follow from them exactly.

Merging is exact (Chan, Golub & LeVeque 1983), so slides can be scored in blocks and pooled afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

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


def gene_moments(truth: NDArray[np.float32], prediction: NDArray[np.float32], measured: NDArray[np.bool_]) -> Moments:
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
    exactly 0, so that rounding noise is never correlated with anything.
    """
    kept = measured.astype(np.float64)
    n = kept.sum(0)
    total = np.maximum(n, 1)
    y = np.where(measured, truth, 0.0).astype(np.float64)
    p = np.where(measured, prediction, 0.0).astype(np.float64)
    mean_true, mean_pred = y.sum(0) / total, p.sum(0) / total
    centred_true = (y - mean_true) * kept * varies(truth, measured)
    centred_pred = (p - mean_pred) * kept * varies(prediction, measured)
    return Moments(
        n.astype(np.int64),
        mean_true,
        mean_pred,
        (centred_true**2).sum(0),
        (centred_pred**2).sum(0),
        (centred_true * centred_pred).sum(0),
        np.abs(p - y).sum(0),
    )


def varies(values: NDArray[np.float32], measured: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which columns of (spots, genes) vary by more than float32 resolves, over the entries measured, (genes,)."""
    high = np.where(measured, values, -np.inf).max(0, initial=-np.inf)
    low = np.where(measured, values, np.inf).min(0, initial=np.inf)
    return _differ(low, high)


def _differ(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(b - a) > RESOLUTION * np.maximum(np.abs(a), np.abs(b)))
