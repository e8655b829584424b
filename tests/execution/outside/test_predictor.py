"""Predictions made elsewhere take the way of any model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stbench.datasets import DatasetContext
from stbench.execution import RunOptions, Task, run_cell
from stbench.execution.outside.plan import content_version, plan_outside, tasks_of
from stbench.execution.outside.predictor import ScoreHere
from stbench.execution.outside.table import read_predictions
from stbench.report.leaderboard import leaderboard
from stbench.store import RunRecord, Store
from stbench.store.card import ModelCard

PREDICTED = "SELECT fold, slide, spot, gene, y_pred, y_std FROM predictions WHERE model = 'toy-streams'"


@pytest.fixture
def predicted(toys: Any) -> pd.DataFrame:
    """Predictions of a model that ran here, fold P1."""
    assert run_cell(toys.cell("toy-streams"), toys.options).status == "ok"
    return Store(toys.store).query(PREDICTED).to_pandas()


def score(
    toys: Any, rows: pd.DataFrame, folder: Path, name: str = "theirs", card: ModelCard | None = None
) -> list[RunRecord]:
    path = folder / f"{name}.parquet"
    rows.to_parquet(path)
    table = read_predictions(path)
    tasks = tasks_of(table, "toy", "stbench-v1", None, toys.registry, DatasetContext(toys.cache_dir))
    planned = plan_outside(table, name, content_version(path, card), tasks, toys.registry)
    options = RunOptions(store=toys.store, cache_dir=toys.cache_dir)
    todo = [Task(cell=cell, options=options, run_id=f"{name}-{cell.fold.id}") for cell in planned.cells]
    records: list[RunRecord] = []
    ScoreHere(table, card)(todo, options, lambda task: None, lambda task, record: records.append(record))
    return records


def test_the_same_predictions_have_the_same_scores(toys: Any, predicted: pd.DataFrame, tmp_path: Path) -> None:
    (record,) = score(toys, predicted.sample(frac=1, random_state=0), tmp_path)

    assert (record.status, record.test[0].coverage) == ("ok", 1.0)
    sql = "SELECT slide, metric, value FROM slide_scores WHERE model = '{}' AND split = 'test' ORDER BY ALL"
    here, elsewhere = (Store(toys.store).query(sql.format(m)).to_pylist() for m in ("toy-streams", "theirs"))
    assert here == elsewhere
    stored = Store(toys.store).query(PREDICTED.replace("toy-streams", "theirs")).to_pandas()
    pd.testing.assert_frame_equal(stored, predicted)


def test_nothing_is_fitted_and_no_validation_is_scored(toys: Any, predicted: pd.DataFrame, tmp_path: Path) -> None:
    (record,) = score(toys, predicted, tmp_path)

    splits = Store(toys.store).query("SELECT DISTINCT split FROM moments WHERE model = 'theirs'").to_pylist()
    assert splits == [{"split": "test"}]
    assert not {"fit", "predict"} & set(record.cost.seconds)
    assert (record.cost.peak_memory_mb, record.cost.n_parameters, record.device) == (None, None, "elsewhere")
    assert record.badges == ["scored from a file"]
    assert record.ledger == {
        "same_patient": "unknown",
        "same_image": "unknown",
        "same_slide": "unknown",
        "target_saw_test": "no",
        "truth_modified": "no",
        "selected_on_test": "unknown",
        "encoder_saw_test": "unknown",
    }


def test_a_card_is_kept_and_states_the_cost(toys: Any, predicted: pd.DataFrame, tmp_path: Path) -> None:
    card = ModelCard(title="Theirs", train_seconds=12.5, n_parameters=99)

    score(toys, predicted, tmp_path, card=card)

    record = Store(toys.store).find("theirs")[1]
    assert record.card == card
    assert (record.cost.n_parameters, record.cost.seconds["fit"]) == (99, 12.5)


def test_entries_without_a_row_lower_the_coverage_and_nothing_else(
    toys: Any, predicted: pd.DataFrame, tmp_path: Path
) -> None:
    spots, genes = predicted["spot"].unique(), predicted["gene"].unique()
    absent = predicted["spot"].isin(spots[:4]) | (predicted["gene"] == genes[0])

    (record,) = score(toys, predicted[~absent], tmp_path)

    assert record.test[0].coverage == pytest.approx(1 - absent.mean())
    store = Store(toys.store)
    stored = store.query("SELECT spot, gene, y_pred FROM predictions WHERE model = 'theirs'").to_pandas()
    assert stored["y_pred"].isna().sum() == absent.sum()
    n = {r["gene"]: r["n"] for r in store.query("SELECT gene, n FROM moments WHERE model = 'theirs'").to_pylist()}
    assert n.pop(genes[0]) == 0
    assert set(n.values()) == {len(spots) - 4}
    sql = (
        "SELECT p.gene, corr(t.y_true, p.y_pred) AS r FROM predictions p JOIN truth t "
        "USING (truth_key, fold, slide, gene, spot) WHERE model = 'theirs' AND y_pred IS NOT NULL GROUP BY 1"
    )
    (pcc,) = store.query("SELECT value FROM slide_scores WHERE model = 'theirs' AND metric = 'pcc'").to_pylist()
    assert pcc["value"] == pytest.approx(np.mean([row["r"] for row in store.query(sql).to_pylist()]), rel=1e-5)


def test_an_incomplete_prediction_is_not_ranked(toys: Any, predicted: pd.DataFrame, tmp_path: Path) -> None:
    score(toys, predicted[predicted["spot"] != predicted["spot"][0]], tmp_path)

    rows = {row["model"]: row for row in leaderboard(Store(toys.store), toys.registry, metrics=["pcc"]).rows}

    assert rows["toy-streams"]["rank"] == 1
    assert rows["theirs"]["rank"] is None
    assert rows["theirs"]["badges"] == ["scored from a file", "incomplete"]
    assert rows["theirs"]["coverage"] == pytest.approx(39 / 40 / 3)


def test_a_slide_without_a_row_is_covered_by_nothing(toys: Any, tmp_path: Path) -> None:
    cell = toys.cell("mean", fold="block-1", datasets=("toy-single",), protocols=("stbench-blocks-v1",))
    run_cell(cell, toys.options)
    rows = Store(toys.store).query("SELECT fold, slide, spot, gene, y_pred FROM predictions").to_pandas()
    path = tmp_path / "half.csv"
    rows[rows["slide"] == "P1-S1"].to_csv(path, index=False)
    table = read_predictions(path)
    context = DatasetContext(toys.cache_dir)
    tasks = tasks_of(table, "toy-single", "stbench-blocks-v1", None, toys.registry, context)
    (planned,) = plan_outside(table, "half", "1", tasks, toys.registry).cells
    task = Task(cell=planned, options=toys.options, run_id="half")
    records: list[RunRecord] = []

    ScoreHere(table)([task], toys.options, lambda task: None, lambda task, record: records.append(record))

    assert [(t.slide, t.coverage) for t in records[0].test] == [("P1-S1", 1.0), ("P1-S2", 0.0)]
    assert records[0].ledger["same_patient"] == "yes"
    row = leaderboard(Store(toys.store), toys.registry, metrics=["pcc"]).rows
    assert {r["model"]: r["coverage"] for r in row} == {"mean": 0.2, "half": 0.1}
