"""What follows from moments: the plain definitions that the store's SQL (`views.sql`) is tested against.

Each function takes the moments of one slide (or of pooled slides) and the panel's marks, and returns one number over
the genes, or None where nothing is defined. Genes with constant truth are left out; a constant prediction has
correlation 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.contract import Undefined, correlation_scores
from stbench.stats import Moments

Marks = Mapping[str, NDArray[np.bool_]]
Values = NDArray[np.float64]

N_TOP = 50


def gene_pcc(m: Moments) -> Values:
    """Correlation per gene, (genes,): 0 for a constant prediction, NaN where undefined otherwise."""
    scores = correlation_scores(m.n, m.ss_true, m.ss_pred, m.cross)
    left_out = [r not in (None, Undefined.CONSTANT_PREDICTION) for r in scores.reasons]
    return np.where(left_out, np.nan, scores.values)


def gene_mse(m: Moments) -> Values:
    """Mean squared error per gene, (genes,)."""
    squared = m.ss_true + m.ss_pred - 2 * m.cross + m.n * (m.mean_pred - m.mean_true) ** 2
    return np.where(m.n > 0, squared / np.maximum(m.n, 1), np.nan)


def gene_r2(m: Moments) -> Values:
    """1 − Σ(y − ŷ)² / Σ(y − ȳ)² per gene, (genes,); NaN where the truth is constant."""
    defined = (m.n >= 2) & (m.ss_true > 0)
    unexplained = np.divide(gene_mse(m) * m.n, m.ss_true, out=np.full(len(m.n), np.nan), where=defined)
    return np.asarray(1 - unexplained)


def pcc(m: Moments, marks: Marks) -> float | None:
    """Mean over genes."""
    return _mean(gene_pcc(m))


def pcc_q1(m: Moments, marks: Marks) -> float | None:
    """First quartile over genes (PCC@F)."""
    return _quantile(gene_pcc(m), 0.25)


def pcc_median(m: Moments, marks: Marks) -> float | None:
    """Median over genes (PCC@S)."""
    return _quantile(gene_pcc(m), 0.5)


def pcc_hvg50(m: Moments, marks: Marks) -> float | None:
    """Mean over the 50 panel genes that vary most on training spots."""
    return _mean(gene_pcc(m)[marks["hvg50"]])


def pcc_heg50(m: Moments, marks: Marks) -> float | None:
    """Mean over the 50 panel genes with the highest mean on training spots."""
    return _mean(gene_pcc(m)[marks["heg50"]])


def pcc_hvg50_test(m: Moments, marks: Marks) -> float | None:
    """Mean over the 50 genes that vary most in the slide's own truth: the legacy choice, which sees the test.

    Genes that tie with the 50th are taken too.
    """
    return _mean(gene_pcc(m)[_top(m.ss_true / np.maximum(m.n, 1), m.n)])


def pcc_heg50_test(m: Moments, marks: Marks) -> float | None:
    """Mean over the 50 genes with the highest mean in the slide's own truth: the legacy choice, which sees the test."""
    return _mean(gene_pcc(m)[_top(m.mean_true, m.n)])


def pcc_markers(m: Moments, marks: Marks) -> float | None:
    """Mean over the panel's known marker genes; None where the protocol marks none."""
    return _mean(gene_pcc(m)[marks["marker"]]) if "marker" in marks else None


def n_pcc_above_03(m: Moments, marks: Marks) -> float | None:
    """Number of genes with a correlation above 0.3."""
    values = gene_pcc(m)
    return float((values > 0.3).sum()) if np.isfinite(values).any() else None


def r2(m: Moments, marks: Marks) -> float | None:
    """1 − Σ(y − ŷ)² / Σ(y − ȳ)², mean over genes; not clipped, negative below the slide's own mean."""
    return _mean(gene_r2(m))


def mse(m: Moments, marks: Marks) -> float | None:
    """Mean squared error, mean over genes."""
    return _mean(gene_mse(m))


def mae(m: Moments, marks: Marks) -> float | None:
    """Mean absolute error, mean over genes."""
    return _mean(np.where(m.n > 0, m.sum_abs / np.maximum(m.n, 1), np.nan))


def rmse(m: Moments, marks: Marks) -> float | None:
    """Root mean squared error per gene, then the mean over genes."""
    return _mean(np.sqrt(np.maximum(gene_mse(m), 0)))


def nrmse(m: Moments, marks: Marks) -> float | None:
    """Root mean squared error per gene in standard deviations of its truth, √(1 − R²), then the mean over genes.

    The slide's own mean has 1, whatever the gene's scale. Papers also divide by the range or the mean; stbench divides
    by what one outlying spot does not decide.
    """
    return _mean(np.sqrt(np.maximum(1 - gene_r2(m), 0)))


def mse_pooled(m: Moments, marks: Marks) -> float | None:
    """Mean squared error over all entries at once (SEPAL): a gene measured in more spots weighs more."""
    squared = np.where(m.n > 0, gene_mse(m), 0) * m.n
    return float(squared.sum() / m.n.sum()) if m.n.any() else None


def mae_pooled(m: Moments, marks: Marks) -> float | None:
    """Mean absolute error over all entries at once (SEPAL)."""
    return float(m.sum_abs.sum() / m.n.sum()) if m.n.any() else None


def _top(score: Values, n: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which measured genes are not below the `N_TOP`-th largest score."""
    ranked = np.where(n > 0, score, -np.inf)
    least = np.sort(ranked)[-min(N_TOP, len(ranked))] if len(ranked) else -np.inf
    return (ranked >= least) & (n > 0)


def _mean(values: Values) -> float | None:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else None


def _quantile(values: Values, q: float) -> float | None:
    kept = values[np.isfinite(values)]
    return float(np.quantile(kept, q)) if len(kept) else None
