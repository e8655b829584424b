"""Metrics of ranks, one value per gene: Spearman's correlation, and telling zero from non-zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.contract import Scores, Undefined, correlation_scores
from stbench.slides import Slide
from stbench.stats import gene_moments, varies

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def spearman(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> Scores:
    """Spearman's rank correlation per gene: Pearson's of the ranks, ties at their mean (Spearman 1904).

    As ``scipy.stats.spearmanr`` over the measured spots.
    """
    m = gene_moments(_ranks(truth, measured), _ranks(prediction, measured), measured)
    return correlation_scores(m.n, m.ss_true, m.ss_pred, m.cross)


def zero_auc(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> Scores:
    """Area under the ROC curve of the prediction telling non-zero from zero truth, per gene.

    AUC = (Σ ranks of non-zero spots − n₁(n₁ + 1)/2) / (n₁ n₀), ties at their mean rank (Hanley & McNeil 1982), as
    ``sklearn.metrics.roc_auc_score(truth > 0, prediction)``. A constant prediction tells nothing apart and has ½.

    Notes
    -----
    A gene that is zero nowhere or everywhere is `CONSTANT_TRUTH`. Where the truth is negative somewhere (a centred or
    scaled target), zero does not mean absent: `NEGATIVE_TRUTH`.
    """
    present = measured & (truth > 0)
    n = measured.sum(0)
    n_present = present.sum(0)
    pairs = n_present * (n - n_present)
    rank_sum = np.where(present, _ranks(prediction, measured), 0).sum(0, dtype=np.float64)
    negative = np.any(measured & (truth < 0), axis=0)
    reasons = tuple(
        Undefined.TOO_FEW
        if count < 2
        else Undefined.NEGATIVE_TRUTH
        if below
        else Undefined.CONSTANT_TRUTH
        if not both
        else None
        for count, below, both in zip(n, negative, pairs, strict=True)
    )
    return Scores((rank_sum - n_present * (n_present + 1) / 2) / np.maximum(pairs, 1), n, reasons)


def _ranks(values: Array, measured: Mask) -> Array:
    """Rank of each measured entry in its column, ties at their mean; alike where the column does not vary.

    Entries that were not measured come last, and rank no other.
    """
    from scipy.stats import rankdata

    known = np.where(measured & varies(values, measured), values, np.where(measured, 0, np.inf))
    by_gene = np.ascontiguousarray(known.T)  # each gene's values side by side: twice as fast to sort
    return np.asarray(rankdata(by_gene, axis=1).T, np.float32)
