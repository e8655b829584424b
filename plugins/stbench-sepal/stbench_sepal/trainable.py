"""Which values are learnt from, and their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stbench.slides import Slide


def trainable(slide: Slide, loss_on: str) -> NDArray[np.bool_]:
    """Values of a training slide that the loss counts, (spots, genes).

    ``imputed``: all of them but for genes that the slide lacks, whose value is a placeholder; ``measured``: only those.
    """
    measured = slide.measured
    if loss_on == "measured":
        return measured
    return np.broadcast_to(measured.any(axis=0), measured.shape)


def target_mean(slides: Sequence[Slide]) -> NDArray[np.float32]:
    """Mean of each gene over the spots of the slides that have it, imputed values included, (genes,)."""
    total = np.zeros(slides[0].adata.n_vars)
    n_spots = np.zeros_like(total)
    for slide in slides:
        has = slide.measured.any(axis=0)
        total += np.where(has, slide.target.sum(axis=0, dtype=np.float64), 0)
        n_spots += has * slide.n_spots
    return np.asarray(total / n_spots.clip(min=1), np.float32)
