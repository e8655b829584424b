"""How unlikely a gene's correlation is without a relation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.contract import Scores, Undefined, correlation_scores
from stbench.slides import Slide
from stbench.stats import gene_moments
from stbench.stats.moments import RESOLUTION


def neg_log10_p(
    truth: NDArray[np.float32], prediction: NDArray[np.float32], measured: NDArray[np.bool_], slide: Slide
) -> Scores:
    """−log₁₀ of the two-sided p-value of each gene's Pearson correlation, as ``scipy.stats.pearsonr`` gives it.

    p = I(1 − r²; n/2 − 1, ½), the regularised incomplete beta function. HisToGene ranks genes by its average over
    sections, which the store gives by::

        SELECT gene, avg(value) FROM metrics WHERE metric = 'neg_log10_p' GROUP BY gene ORDER BY 2 DESC

    (rank after averaging: sorting each section first averages ranks of different genes). Spots are not independent, so
    this orders genes and tests nothing.

    Notes
    -----
    Where p underflows, its logarithm comes from the series of the incomplete beta function. 1 − r² is not taken below
    the square of what float32 resolves, so that a perfect prediction has a value.
    """
    m = gene_moments(truth, prediction, measured)
    r = correlation_scores(m.n, m.ss_true, m.ss_pred, m.cross)
    reasons = tuple(Undefined.TOO_FEW if n < 3 else reason for n, reason in zip(m.n, r.reasons, strict=True))
    unexplained = np.maximum((1 - r.values) * (1 + r.values), RESOLUTION**2)
    return Scores(-_log10_p(unexplained, np.maximum(m.n, 3) / 2 - 1), m.n, reasons)


def _log10_p(x: NDArray[np.float64], a: NDArray[np.float64]) -> NDArray[np.float64]:
    """log₁₀ I(x; a, ½)."""
    from scipy.special import betainc, betaln, hyp2f1

    p = betainc(a, 0.5, x)
    tiny = p < 1e-250
    # I(x; a, b) = xᵃ(1 − x)ᵇ / (a B(a, b)) · ₂F₁(a + b, 1; a + 1; x)   (DLMF 8.17.8)
    xt, at = np.where(tiny, x, 0.5), np.where(tiny, a, 1.0)
    power = at * np.log(xt) + 0.5 * np.log1p(-xt) - np.log(at) - betaln(at, 0.5)
    series = power + np.log(hyp2f1(at + 0.5, 1, at + 1, xt))
    return np.asarray(np.where(tiny, series / np.log(10), np.log10(np.where(tiny, 1.0, p))))
