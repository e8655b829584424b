"""Metrics across genes, one value per spot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.contract import Scores, Undefined, correlation_scores
from stbench.metrics.derived import gene_r2
from stbench.slides import Slide
from stbench.stats import gene_moments


def pcc_spot(
    truth: NDArray[np.float32], prediction: NDArray[np.float32], measured: NDArray[np.bool_], slide: Slide
) -> Scores:
    """Pearson correlation of each spot across genes (SEPAL's PCC-Patch).

    High (about .9) for any method, because genes differ in mean: read it beside the train mean's.
    """
    m = gene_moments(truth.T, prediction.T, measured.T)
    return correlation_scores(m.n, m.ss_true, m.ss_pred, m.cross)


def r2_spot(
    truth: NDArray[np.float32], prediction: NDArray[np.float32], measured: NDArray[np.bool_], slide: Slide
) -> Scores:
    """1 − Σ(y − ŷ)² / Σ(y − ȳ)² of each spot across genes (SEPAL's R2-Patch); not clipped."""
    m = gene_moments(truth.T, prediction.T, measured.T)
    reasons = tuple(
        Undefined.TOO_FEW if n < 2 else Undefined.CONSTANT_TRUTH if spread == 0 else None
        for n, spread in zip(m.n, m.ss_true, strict=True)
    )
    return Scores(np.nan_to_num(gene_r2(m)), m.n, reasons)
