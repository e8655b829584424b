"""Whether predicted maps are as spatially structured as the true ones, by Moran's I."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.contract import Scores, Undefined, correlation_scores
from stbench.slides import Slide
from stbench.stats import gene_moments, morans_i, varies

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def moran_error(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> Scores:
    """|I(ŷ) − I(y)| per gene, with Moran's I over the grid's neighbours (`stbench.stats.morans_i`).

    Large where predictions are smoother than the tissue, which correlation rewards. A constant prediction has no
    structure, I = 0.
    """
    true, predicted, reasons = _structure(truth, prediction, measured, slide)
    return Scores(np.abs(predicted - true), measured.sum(0), reasons)


def moran_pcc(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> Scores:
    """Pearson correlation, over the genes of a slide, of the Moran's I of prediction and of truth.

    Whether the genes that form patterns in the tissue are those that form patterns in the prediction.
    """
    true, predicted, reasons = _structure(truth, prediction, measured, slide)
    defined = np.array([reason is None for reason in reasons], bool)[:, None]
    m = gene_moments(true[:, None].astype(np.float32), predicted[:, None].astype(np.float32), defined)
    return correlation_scores(m.n, m.ss_true, m.ss_pred, m.cross)


def _structure(
    truth: Array, prediction: Array, measured: Mask, slide: Slide
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[Undefined | None, ...]]:
    """Moran's I of truth and prediction, (genes,), 0 where undefined, and why that of the truth is."""
    edges = slide.neighbours("grid")
    found = []
    for values in (truth, prediction):
        known = np.where(measured & varies(values, measured), values, 0)
        found.append(np.where(varies(values, measured), np.nan_to_num(morans_i(known, edges, measured)), 0))
    linked = _any_neighbour(edges, measured)
    reasons = tuple(
        Undefined.TOO_FEW if not link else None if vary else Undefined.CONSTANT_TRUTH
        for link, vary in zip(linked, varies(truth, measured), strict=True)
    )
    return found[0], found[1], reasons


def _any_neighbour(edges: NDArray[np.int64], measured: Mask) -> NDArray[np.bool_]:
    """Which genes are measured in two neighbouring spots somewhere, (genes,)."""
    from scipy.sparse import csr_array

    n = len(measured)
    adjacency = csr_array((np.ones(edges.shape[1]), (edges[0], edges[1])), shape=(n, n))
    return np.asarray((measured & (adjacency @ measured.astype(np.float32) > 0)).any(0))
