"""Predictions away from the spots are kept with the run, and checked like others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stbench.errors import PredictionError
from stbench.execution import run_cell
from stbench.execution.predicted import checked_points
from stbench.models import Points
from stbench.store import Store
from stbench.testing.slides import toy_slides


def test_points_are_kept_with_the_run(toys: Any) -> None:
    record = run_cell(toys.cell("toy-between"), toys.options)

    assert record.status == "ok"
    assert "points.parquet" in record.files
    rows = Store(toys.store).query("SELECT * FROM points ORDER BY gene, x_px, y_px").to_pylist()
    (test,) = record.test
    assert len(rows) == (test.n_spots - 1) * record.n_genes
    assert {(row["model"], row["slide"], row["side_um"]) for row in rows} == {("toy-between", test.slide, 20.0)}
    assert np.std([row["y_pred"] for row in rows]) > 0


def test_a_run_without_points_has_no_file_of_them(toys: Any) -> None:
    record = run_cell(toys.cell("toy-good"), toys.options)

    assert "points.parquet" not in record.files
    assert Store(toys.store).query("SELECT count(*) AS n FROM points").to_pylist() == [{"n": 0}]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (Points(np.zeros((4, 3)), 10.0, np.zeros((4, 2), np.float32)), "centres"),
        (Points(np.full((4, 2), np.nan), 10.0, np.zeros((4, 2), np.float32)), "finite"),
        (Points(np.zeros((4, 2)), 0.0, np.zeros((4, 2), np.float32)), "size above 0"),
        (Points(np.zeros((4, 2)), 10.0, np.zeros((3, 2), np.float32)), "shape"),
        (Points(np.zeros((4, 2)), 10.0, np.full((4, 2), np.inf, np.float32)), "NaN or infinite"),
    ],
)
def test_points_that_do_not_go_together(points: Points, message: str, tmp_path: Any) -> None:
    (slide, *_) = toy_slides(tmp_path, patients=1, spots=8, genes=2)

    with pytest.raises(PredictionError, match=message):
        checked_points(points, slide, 2)
