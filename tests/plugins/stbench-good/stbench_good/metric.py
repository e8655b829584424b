"""Spearman's rank correlation per gene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from stbench.metrics import Scores, Undefined
from stbench.slides import Slide


def spearman(
    truth: NDArray[np.float32], prediction: NDArray[np.float32], measured: NDArray[np.bool_], slide: Slide
) -> Scores:
    values, n_obs, reasons = [], [], []
    for y, p, kept in zip(truth.T, prediction.T, measured.T, strict=True):
        n_obs.append(int(kept.sum()))
        reasons.append(reason(y[kept], p[kept]))
        values.append(0.0 if reasons[-1] else float(spearmanr(y[kept], p[kept]).statistic))
    return Scores(np.array(values), np.array(n_obs), tuple(reasons))


def reason(truth: NDArray[np.float32], prediction: NDArray[np.float32]) -> Undefined | None:
    if len(truth) < 2:
        return Undefined.TOO_FEW
    if np.ptp(truth) == 0:
        return Undefined.CONSTANT_TRUTH
    return Undefined.CONSTANT_PREDICTION if np.ptp(prediction) == 0 else None
