"""Moran's I of many genes over one spatial graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMNS = 1024


def morans_i(values: Any, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Moran's I with row-normalised weights, I = (N/ΣW)·Σ w_ij z_i z_j / Σ z_i².

    Parameters
    ----------
    values
        (spots, genes), dense or scipy sparse.
    edges
        (2, edges) directed edges.

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
    degree = np.bincount(edges[0], minlength=n)
    weights = csr_array((1.0 / degree[edges[0]], (edges[0], edges[1])), shape=(n, n))
    scores = np.full(genes, np.nan)
    if edges.shape[1] == 0:
        return scores
    columns = values.tocsc() if issparse(values) else values
    for start in range(0, genes, COLUMNS):  # bounds memory: spots × COLUMNS float64 at a time
        block = columns[:, start : start + COLUMNS]
        z = np.asarray(block.toarray() if issparse(block) else block, np.float64)
        z = z - z.mean(0)
        spread = (z**2).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            score = n / weights.sum() * (z * (weights @ z)).sum(0) / spread
        scores[start : start + COLUMNS] = np.where(spread > 1e-12, score, np.nan)
    return scores
