"""What retrieval reaches without looking at the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stbench.models import Model
from stbench.models.retrieval import Reference, nearest
from stbench.slides import Slide
from stbench_bleep.params import RandomRetrievalParams

TURNS = 100.0
"""From one array position to the next: neighbours share nothing."""


class RandomRetrieval(Model[RandomRetrievalParams]):
    """Looks up the training spots that random embeddings bring near."""

    pointwise: ClassVar[bool] = True
    reference: Reference

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Give every training spot a random embedding."""
        self.reference = Reference.of(torch.cat([self._drawn(slide) for slide in train]), train)

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Give every spot a random embedding, and predict the mean of those near it, (spots, genes)."""
        return self.reference.mean(nearest(self._drawn(slide), self.reference.keys, self.params.k)[1]).numpy()

    def _drawn(self, slide: Slide) -> Tensor:
        """Embeddings that hang on a spot's place alone, not on its order, and share nothing between neighbours."""
        rng = np.random.default_rng([self.context.seed, *slide.info.id.encode()])
        turns = slide.array_positions @ rng.normal(0, TURNS, (2, self.params.dim)) + rng.random(self.params.dim)
        return torch.from_numpy(np.sin(2 * np.pi * turns).astype(np.float32))
