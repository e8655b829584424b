"""Asking a model for a slide that does not fit in memory: some thousand spots at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stbench.errors import PredictionError
from stbench.models import Model, Prediction
from stbench.models.contract import PredictionBlock
from stbench.slides import Slide

SPOTS_PER_BLOCK = 4096
"""Whose patches of 224 px take 0.6 GB."""


def predict(model: Model[Any], slide: Slide) -> Prediction:
    """Let a model predict a slide that carries no expression, in blocks where the slide is large and the model can."""
    if not model.pointwise or not slide.is_large:
        return model.predict(slide)
    return in_blocks(model, slide)


def in_blocks(model: Model[Any], slide: Slide) -> Iterator[PredictionBlock]:
    """Let a pointwise model predict some thousand spots at a time; nothing of their patches stays in the cache."""
    for start in range(0, slide.n_spots, SPOTS_PER_BLOCK):
        rows = slice(start, min(start + SPOTS_PER_BLOCK, slide.n_spots))
        mean = model.predict(slide.block(rows))
        if not isinstance(mean, np.ndarray):
            kind = type(mean).__name__
            raise PredictionError(f"slide {slide.info.id}: a model that is pointwise returns an array, not {kind}")
        yield rows, mean, None
