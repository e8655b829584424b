"""Control: what can be told from a spot's place on the array alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stbench.models.arrays import load_arrays, save_arrays
from stbench.models.contract import Model, Params, stack_targets
from stbench.slides import Slide

FITTED = "position.safetensors"


class PositionParams(Params):
    """Parameters of `Position`."""

    k: int = Field(10, ge=1, description="nearest training spots averaged")


class Position(Model[PositionParams]):
    """k nearest neighbours on (array row, array column) among all training spots; never sees the image."""

    pointwise: ClassVar[bool] = True

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Remember positions and targets of the training spots."""
        self._remember(np.concatenate([slide.array_positions for slide in train]), stack_targets(train))

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Mean target of the k training spots nearest on the array, (spots, genes)."""
        return np.asarray(self.regressor.predict(slide.array_positions), np.float32)

    def save(self, folder: Path) -> None:
        """Write positions and targets."""
        save_arrays(folder / FITTED, {"positions": self.positions, "targets": self.targets})

    def load(self, folder: Path) -> None:
        """Restore what was remembered."""
        arrays = load_arrays(folder / FITTED)
        self._remember(arrays["positions"], arrays["targets"])

    def _remember(self, positions: NDArray[np.float64], targets: NDArray[np.float32]) -> None:
        from sklearn.neighbors import KNeighborsRegressor

        self.positions, self.targets = positions, targets
        k = min(self.params.k, len(positions))
        self.regressor = KNeighborsRegressor(n_neighbors=k).fit(positions, targets)
