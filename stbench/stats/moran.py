"""Moran's I of many genes over one spatial graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = 1024


def morans_i(values: Any, edges: NDArray[np.int64], measured: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Moran's I with row-normalised weights, I = (N/ΣW)·Σ w_ij z_i z_j / Σ z_i².

    Parameters
    ----------
    values
        (spots, genes), dense or scipy sparse.
    edges
        (2, edges) directed edges.
    measured
        (spots, genes); entries that are False are no spots of their gene. None: all are measured.

    Returns
    -------
    (genes,); NaN where a gene is constant or there are no edges.

    Notes
    -----
    Definition as in squidpy's ``spatial_autocorr(mode="moran", transformation=True)``; spots without neighbours
    have empty rows and do not count in ΣW.
    """
    from scipy.sparse import csr_array, issparse

    n, genes = values.shape
    adjacency = csr_array((np.ones(edges.shape[1]), (edges[0], edges[1])), shape=(n, n))
    scores = np.full(genes, np.nan)
    if edges.shape[1] == 0:
        return scores
    columns = values.tocsc() if issparse(values) else values
    for start in range(0, genes, COLUMNS):  # bounds memory: spots × COLUMNS float64 at a time
        block = columns[:, start : start + COLUMNS]
        y = np.asarray(block.toarray() if issparse(block) else block, np.float64)
        kept = np.ones((n, 1)) if measured is None else measured[:, start : start + COLUMNS].astype(np.float64)
        count = kept.sum(0)
        z = (y - (y * kept).sum(0) / np.maximum(count, 1)) * kept
        degree = adjacency @ kept
        lag = adjacency @ z / np.maximum(degree, 1)  # mean over measured neighbours
        spread = (z**2).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            score = count / (kept * (degree > 0)).sum(0) * (z * lag).sum(0) / spread
        scores[start : start + COLUMNS] = np.where(spread > 1e-12, score, np.nan)
    return scores
