"""Linear regression on colour, fitted to a bootstrap of the spots that no seed decides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stbench.models import Model, Params, stack_targets
from stbench.slides import Slide


class NondeterministicParams(Params):
    """None."""


class Nondeterministic(Model[NondeterministicParams]):
    """The fault: a generator without the context's seed."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        features = np.concatenate([self.features(slide) for slide in train])
        rows = np.random.default_rng().integers(0, len(features), len(features))
        self.weights = np.linalg.lstsq(features[rows], stack_targets(train)[rows], rcond=None)[0]

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        return (self.features(slide) @ self.weights).astype(np.float32)

    def features(self, slide: Slide) -> NDArray[np.float64]:
        colour = slide.patches(pixels=8, microns=80.0).mean((1, 2)) / 255  # (spots, 3)
        return np.column_stack([colour, np.ones(slide.n_spots)])
