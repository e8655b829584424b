"""A model of scikit-learn alone: nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from stbench.models import Model, stack_targets
from stbench.slides import Slide
from stbench_good.params import ForestParams


class Forest(Model[ForestParams]):
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        features = np.concatenate([self.features(slide) for slide in train])
        forest = RandomForestRegressor(self.params.n_trees, min_samples_leaf=3, random_state=self.context.seed)
        self.forest = forest.fit(features, stack_targets(train))
        self.context.report(f"{self.params.n_trees} trees on {len(features)} spots")

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        return self.forest.predict(self.features(slide)).astype(np.float32)

    def features(self, slide: Slide) -> NDArray[np.float64]:
        patches = slide.patches(pixels=16, microns=self.params.microns)  # (spots, 16, 16, 3)
        return np.column_stack([patches.mean((1, 2)), patches.std((1, 2))])  # (spots, 6)

    @property
    def n_parameters(self) -> int | None:
        return None
