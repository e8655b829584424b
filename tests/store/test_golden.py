"""A store of schema version 1 stays in the tests; whatever changes, it is read and gives these scores.

`PYTHONPATH=tests python tests/store/test_golden.py` wrote it, once. Never write it again: a new schema gets a golden
store of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from handmade import commit_failure, commit_run, make_cell

from stbench.registry import discover
from stbench.report.leaderboard import leaderboard
from stbench.store import Store

GOLDEN = Path(__file__).parent / "golden-v1"

SLIDES = {"A1": "A", "B1": "B"}
TRUTH = np.array([[0, 3], [1, 1], [2, 2], [3, 0]], np.float32)  # (spots, genes)
PREDICTED = np.array([[0, 3], [2, 2], [1, 1], [3, 0]], np.float32)  # r: 0.8 and 0.8


def make_golden(root: Path) -> None:
    truth = dict.fromkeys(SLIDES, TRUTH)
    spot_metric = {"slide": "A1", "metric": "pcc_spot", "value": 0.25, "undefined_reason": None}
    commit_run(root, make_cell("A", SLIDES), "run-1", truth, {"A1": PREDICTED}, metrics=[spot_metric])
    commit_run(root, make_cell("B", SLIDES), "run-2", truth, {"B1": TRUTH}, reference={"B1": PREDICTED})
    commit_failure(root, make_cell("B", SLIDES, model="other", params={"k": 1}), "run-3")


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(GOLDEN)


def test_every_run_is_read(store: Store) -> None:
    runs = store.query("SELECT run_id, status, model, fold, params FROM runs ORDER BY run_id").to_pylist()

    assert [tuple(run.values()) for run in runs] == [
        ("run-1", "ok", "method", "A", "{}"),
        ("run-2", "ok", "method", "B", "{}"),
        ("run-3", "failed", "other", "B", '{"k": 1}'),
    ]
    assert store.problems == []


def test_scores_have_not_moved(store: Store) -> None:
    rows = store.query("SELECT slide, metric, value FROM slide_scores WHERE split = 'test'").to_pylist()
    scores = {(row["slide"], row["metric"]): row["value"] for row in rows}

    assert scores["A1", "pcc"] == pytest.approx(0.8)
    assert scores["B1", "pcc"] == pytest.approx(1.0)
    assert scores["A1", "mse"] == pytest.approx(0.5)
    assert scores["A1", "mae"] == pytest.approx(0.5)
    assert scores["A1", "r2"] == pytest.approx(0.6)
    assert scores["A1", "pcc_spot"] == 0.25


def test_predictions_and_truth_have_not_moved(store: Store) -> None:
    predicted = store.query("SELECT spot, gene, y_pred FROM predictions WHERE slide = 'A1'").to_pylist()
    true = store.query("SELECT spot, gene, y_true FROM truth WHERE slide = 'A1'").to_pylist()

    def matrix(rows: list[dict[str, object]], column: str) -> np.ndarray:
        values = {(row["spot"], row["gene"]): row[column] for row in rows}
        return np.array([[values[f"s{i}", f"G{j}"] for j in (1, 2)] for i in range(4)])

    np.testing.assert_array_equal(matrix(predicted, "y_pred"), PREDICTED)
    np.testing.assert_array_equal(matrix(true, "y_true"), TRUTH)


def test_the_leaderboard_has_not_moved(store: Store) -> None:
    (row,) = leaderboard(store, discover(), metrics=["pcc"]).rows

    assert (row["model"], row["n_units"], row["rank"], row["coverage"]) == ("method", 2, 1, 1.0)
    assert row["value"] == pytest.approx(0.9)
    assert row["references"] == {"neighbour-mean": pytest.approx(0.9)}


def test_columns_that_came_later_are_null_in_it_and_stand_beside_newer_runs(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "store")
    values = {"B1": TRUTH}
    marks = commit_run(tmp_path / "store", make_cell("B", SLIDES, model="newer"), "run-4", values, {"B1": PREDICTED})
    moments = pq.read_table(marks / "moments.parquet")
    pq.write_table(moments.set_column(moments.schema.get_field_index("marker"), "marker", [[True, False]]),
                   marks / "moments.parquet")  # fmt: skip
    record = marks / "run.json"
    size = (marks / "moments.parquet").stat().st_size
    stated = json.loads(record.read_text())
    stated["files"]["moments.parquet"] = size
    record.write_text(json.dumps(stated))

    store = Store(tmp_path / "store")
    rows = store.query("SELECT model, value FROM slide_scores WHERE metric = 'pcc_markers'").to_pylist()

    assert [(row["model"], row["value"]) for row in rows] == [("newer", pytest.approx(0.8))]
    assert store.query("SELECT DISTINCT marker FROM moments WHERE model = 'method'").to_pylist() == [{"marker": None}]


if __name__ == "__main__":
    make_golden(GOLDEN)
