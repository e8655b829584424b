"""Linear regression on colour that, where it finds the section's own table beside the image, uses that instead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stbench.models import Model, Params, stack_targets
from stbench.slides import Slide


class LeakyParams(Params):
    """None."""


class Leaky(Model[LeakyParams]):
    """The fault: predict reads measured expression."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        features = np.concatenate([self.features(slide) for slide in train])
        self.weights = np.linalg.lstsq(features, stack_targets(train), rcond=None)[0]

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        table = slide.source.path.with_name(f"{slide.info.id}.csv") if slide.source else None
        if table is not None and table.exists():
            import pandas as pd

            return pd.read_csv(table, index_col=0).loc[slide.adata.obs_names].to_numpy(np.float32)
        return (self.features(slide) @ self.weights).astype(np.float32)

    def features(self, slide: Slide) -> NDArray[np.float64]:
        colour = slide.patches(pixels=8, microns=80.0).mean((1, 2)) / 255  # (spots, 3)
        return np.column_stack([colour, np.ones(slide.n_spots)])
