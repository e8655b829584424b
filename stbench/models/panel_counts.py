"""Counts of the panel's genes on a training slide, and the size factors of its spots: what count losses take."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides import Slide


def panel_counts(slide: Slide) -> NDArray[np.float32]:
    """Counts of the panel's genes, (spots, genes); 0 for a gene that the slide does not have.

    Raises
    ------
    DataError
        If the slide carries no counts: it is a test slide, or its protocol keeps none in ``adata.raw``.
    """
    raw = slide.adata.raw
    if raw is None:
        raise DataError(f"slide {slide.info.id} carries no counts; use a protocol that keeps them in adata.raw")
    position = pd.Index(raw.var_names).get_indexer(slide.adata.var_names)
    found = raw.X[:, np.maximum(position, 0)]
    counts = np.asarray(found.toarray() if hasattr(found, "toarray") else found, np.float32)
    return np.where(position >= 0, counts, np.float32(0))


def size_factors(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Total of each spot, relative to the section's median spot, (spots,).

    Parameters
    ----------
    counts
        (spots, genes) of one section. Where more than half of the spots are empty, the median is that of the others.
    """
    total = counts.sum(1, dtype=np.float64)
    median = np.median(total) or np.median(total[total > 0]) if (total > 0).any() else 1.0
    return np.asarray(total / median, np.float32)
