"""Control: every spot gets the training mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stbench.models.arrays import load_arrays, save_arrays
from stbench.models.contract import Model, Params, stack_targets
from stbench.slides import Slide

FITTED = "mean.safetensors"


class MeanParams(Params):
    """The mean has no parameters."""


class Mean(Model[MeanParams]):
    """Mean of each gene over training spots."""

    pointwise: ClassVar[bool] = True
    mean: NDArray[np.float32]

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Take the mean over all training spots."""
        self.mean = stack_targets(train).mean(0, dtype=np.float64).astype(np.float32)

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Return the same row for every spot, (spots, genes)."""
        return np.tile(self.mean, (slide.n_spots, 1))

    def save(self, folder: Path) -> None:
        """Write the mean."""
        save_arrays(folder / FITTED, {"mean": self.mean})

    def load(self, folder: Path) -> None:
        """Restore a saved mean."""
        self.mean = load_arrays(folder / FITTED)["mean"]
