"""Metrics across genes, one value per spot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.contract import Scores, correlation_scores
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
