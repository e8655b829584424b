"""Slides on which formulas go wrong: holes, constant genes, genes that were hardly or never measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stbench.slides import Slide, SlideInfo

GENES = 14
CONSTANT_TRUTH, CONSTANT_PREDICTION, BOTH_CONSTANT, NEVER, ONCE, TWICE = range(6)
"""Positions of the odd genes."""


@dataclass(frozen=True)
class Given:
    """What a metric is given."""

    truth: np.ndarray
    prediction: np.ndarray
    measured: np.ndarray
    slide: Slide

    def __iter__(self) -> Iterator[object]:
        return iter((self.truth, self.prediction, self.measured, self.slide))

    def gene(self, g: int) -> tuple[np.ndarray, np.ndarray]:
        """Truth and prediction of a gene where it was measured, float64."""
        kept = self.measured[:, g]
        return self.truth[kept, g].astype(float), self.prediction[kept, g].astype(float)


def slide_of(row: np.ndarray, col: np.ndarray, grid: str = "square", region: object = None) -> Slide:
    """A slide with these array positions and nothing else."""
    obs = pd.DataFrame({"array_row": row, "array_col": col}, index=[f"spot{i}" for i in range(len(row))])
    if region is not None:
        obs["region"] = region
    centers = np.column_stack([col, row * (np.sqrt(3) if grid == "hex" else 1)]) * 50.0
    info = SlideInfo(id="S", patient="P", dataset="d", image_id="I", grid=grid, mpp=1.0, spot_um=55.0)
    return Slide(AnnData(obs=obs, obsm={"spatial": centers}), info)


def odd_slide(seed: int, grid: str = "square", holes: float = 0.2) -> Given:
    """A section of irregular outline whose genes vary, have many zeros and ties, and are odd in every way."""
    rng = np.random.default_rng(seed)
    row, col = np.divmod(np.arange(15 * 12), 12)
    if grid == "hex":
        col = 2 * col + row % 2
    inside = rng.random(len(row)) > 0.15
    slide = slide_of(row[inside], col[inside], grid)
    shape = slide.n_spots, GENES
    trend = np.sin(slide.array_positions[:, :1] / 3 + rng.uniform(0, 6, GENES))
    truth = np.log1p(rng.poisson(np.exp(trend), shape)).astype(np.float32)
    prediction = (rng.uniform(-0.2, 1, GENES) * truth + rng.normal(0, 0.4, shape)).astype(np.float32)
    measured = rng.random(shape) >= holes
    truth[:, [CONSTANT_TRUTH, BOTH_CONSTANT]] = np.float32(0.1)
    prediction[:, [CONSTANT_PREDICTION, BOTH_CONSTANT]] = np.float32(0.3)
    measured[:, NEVER] = measured[1:, ONCE] = measured[2:, TWICE] = False
    measured[0, ONCE] = measured[:2, TWICE] = True
    truth[:2, TWICE] = 0, 1
    return Given(truth, prediction, measured, slide)


@pytest.fixture(params=["square", "hex", "whole"])
def given(request: pytest.FixtureRequest) -> Given:
    if request.param == "whole":
        return odd_slide(3, holes=0.0)
    return odd_slide(len(request.param), request.param)
