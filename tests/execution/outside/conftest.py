from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Write = Callable[[pd.DataFrame], Path]


@pytest.fixture
def rows() -> pd.DataFrame:
    """Predictions for two folds of one slide each, two spots and two genes."""
    index = pd.MultiIndex.from_product([["P1"], ["A1"], ["1x1", "1x2"], ["G1", "G2"]])
    first = index.to_frame(index=False, name=["fold", "slide", "spot", "gene"])
    frame = pd.concat([first, first.assign(fold="P2", slide="B1")], ignore_index=True)
    return frame.assign(y_pred=[float(i) for i in range(len(frame))])


@pytest.fixture(params=["predictions.parquet", "predictions.csv", "predictions.csv.gz"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    """Write rows in each of the formats."""

    def to_file(frame: pd.DataFrame) -> Path:
        path = tmp_path / request.param
        if path.suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False)
        return path

    return to_file
