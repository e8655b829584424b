"""Linear regression on colour that waits for every slide."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stbench.models import Model, Params, stack_targets
from stbench.slides import Slide

SECONDS_PER_SLIDE = 0.25


class SlowParams(Params):
    """None."""


class Slow(Model[SlowParams]):
    """The fault: a second for what takes milliseconds."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        features = np.concatenate([self.features(slide) for slide in train])
        self.weights = np.linalg.lstsq(features, stack_targets(train), rcond=None)[0]

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        return (self.features(slide) @ self.weights).astype(np.float32)

    def features(self, slide: Slide) -> NDArray[np.float64]:
        time.sleep(SECONDS_PER_SLIDE)
        colour = slide.patches(pixels=8, microns=80.0).mean((1, 2)) / 255  # (spots, 3)
        return np.column_stack([colour, np.ones(slide.n_spots)])
