from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from handmade import commit_failure, commit_run, make_cell, make_record, random_slides, slide_pcc

from stbench.store import Layout, RunWriter, Store
from stbench.store.writer import PredictionWriter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def column_encodings(path: Path) -> dict[str, tuple[str, ...]]:
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = (group.column(i) for i in range(group.num_columns))
    return {column.path_in_schema: column.encodings for column in columns}


def test_predictions_and_truth_come_back_as_they_were_written(root: Path) -> None:
    truth, predicted = random_slides(1, ["A1", "A2"]), random_slides(2, ["A1", "A2"])
    commit_run(root, make_cell("A"), "run-1", truth, predicted)

    rows = Store(root).query("SELECT slide, gene, spot, y_pred FROM predictions ORDER BY slide, gene, spot_row")
    true_rows = Store(root).query("SELECT slide, gene, spot, y_true FROM truth ORDER BY slide, gene, spot_row")

    for table, column, given in ((rows, "y_pred", predicted), (true_rows, "y_true", truth)):
        expected = np.concatenate([given["A1"].ravel(order="F"), given["A2"].ravel(order="F")])
        np.testing.assert_array_equal(table[column].to_numpy(), expected)
        assert table["spot"].to_pylist()[:12] == [f"s{i}" for i in range(12)]
        assert sorted(set(table["gene"].to_pylist())) == ["G1", "G2", "G3"]


def test_public_views_carry_the_documented_columns(root: Path) -> None:
    values = random_slides(1)
    commit_run(root, make_cell("B"), "run-1", values, {"B1": values["B1"]})
    documented = {
        "runs": "run_id, cell_key, status, dataset, protocol, model, fold, seed",
        "cells": "run_id, cell_key, status, dataset, protocol, model, fold, seed",
        "truth": "truth_key, dataset, protocol, fold, slide, spot, gene, y_true",
        "predictions": "run_id, dataset, protocol, fold, slide, spot, gene, y_pred",
        "slide_scores": "dataset, protocol, model, fold, seed, split, patient, slide, metric, value",
        "moments": "run_id, split, slide, gene, n, mean_true, mean_pred, ss_true, ss_pred",
        "metrics": "run_id, split, slide, gene, metric, version, value, n_obs, undefined_reason",
    }

    for view, columns in documented.items():
        assert Store(root).query(f"SELECT {columns} FROM {view} LIMIT 1").column_names == columns.split(", ")


def test_predictions_lie_gene_after_gene_in_compact_encodings(root: Path) -> None:
    values = random_slides(1)
    folder = commit_run(root, make_cell("B"), "run-1", values, {"B1": values["B1"]})

    table = pq.read_table(folder / "predictions.parquet")
    encodings = column_encodings(folder / "predictions.parquet")

    assert table["gene"].to_pylist() == ["G1"] * 12 + ["G2"] * 12 + ["G3"] * 12
    assert table["spot_row"].to_pylist() == [*range(12)] * 3
    assert "BYTE_STREAM_SPLIT" in encodings["y_pred"]
    assert "DELTA_BINARY_PACKED" in encodings["spot_row"]
    assert "RLE_DICTIONARY" in encodings["gene"]
    assert "BYTE_STREAM_SPLIT" in column_encodings(root / "truth" / "truth-B1" / "truth.parquet")["y_true"]


def test_a_row_group_holds_whole_genes(tmp_path: Path) -> None:
    spots, genes = 1 << 19, ["G1", "G2", "G3"]
    mean = np.arange(spots * 3, dtype=np.float32).reshape(spots, 3)

    with PredictionWriter(tmp_path / "predictions.parquet", "run-1") as writer:
        writer.add("truth-A1", "A1", genes, mean)

    file = pq.ParquetFile(tmp_path / "predictions.parquet")
    held = [set(file.read_row_group(i, columns=["gene"])["gene"].to_pylist()) for i in range(file.num_row_groups)]
    assert [g for group in held for g in sorted(group)] == genes
    assert len(held) > 1
    np.testing.assert_array_equal(file.read(columns=["y_pred"])["y_pred"].to_numpy(), mean.ravel(order="F"))


def test_standard_deviations_are_kept_where_a_model_gives_them(root: Path) -> None:
    mean = np.ones((2, 1), np.float32)
    writer = RunWriter(Layout(root).create(), "run-1")
    with writer.predictions() as predictions:
        predictions.add("t", "A1", ["G1"], mean, std=np.array([[0.5], [0.25]], np.float32))
        predictions.add("t", "A2", ["G1"], mean)

    table = pq.read_table(writer.folder / "predictions.parquet")

    assert table["y_std"].to_pylist() == [0.5, 0.25, None, None]


def test_scores_are_those_of_numpy(root: Path) -> None:
    truth, predicted = random_slides(1, ["A1"]), random_slides(2, ["A1"])
    commit_run(root, make_cell("A"), "run-1", truth, predicted)
    t, p = truth["A1"].astype(float), predicted["A1"].astype(float)

    scores = {r["metric"]: r["value"] for r in Store(root).query("SELECT * FROM slide_scores").to_pylist()}

    r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(t.T, p.T, strict=True)])
    assert scores["pcc"] == pytest.approx(r.mean())
    assert scores["pcc_median"] == pytest.approx(np.median(r))
    assert scores["pcc_q1"] == pytest.approx(np.quantile(r, 0.25))
    assert scores["pcc_hvg50"] == pytest.approx(r[0])
    assert scores["pcc_heg50"] == pytest.approx(r[1:].mean())
    assert scores["n_pcc_above_0.3"] == (r > 0.3).sum()
    assert scores["mse"] == pytest.approx(((t - p) ** 2).mean())
    assert scores["mae"] == pytest.approx(np.abs(t - p).mean())
    assert scores["rmse"] == pytest.approx(np.sqrt(((t - p) ** 2).mean(0)).mean())
    assert scores["r2"] == pytest.approx((1 - ((t - p) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0)).mean())


def test_pooled_correlation_is_over_all_test_spots_of_a_fold(root: Path) -> None:
    truth, predicted = random_slides(1, ["A1", "A2"]), random_slides(2, ["A1", "A2"])
    truth["A2"] += 5
    predicted["A2"] += 5
    commit_run(root, make_cell("A"), "run-1", truth, predicted)

    (row,) = Store(root).query("SELECT value FROM fold_scores WHERE metric = 'pcc_pooled'").to_pylist()

    both = [np.concatenate([given["A1"], given["A2"]]) for given in (truth, predicted)]
    assert row["value"] == pytest.approx(slide_pcc(*both))


def test_a_constant_prediction_counts_as_zero_and_constant_truth_not_at_all(root: Path) -> None:
    truth, predicted = random_slides(1, ["A1"]), random_slides(2, ["A1"])
    truth["A1"][:, 0] = 3
    predicted["A1"][:, 1] = 3
    commit_run(root, make_cell("A"), "run-1", truth, predicted)

    genes = {r["gene"]: r for r in Store(root).query("SELECT * FROM gene_scores").to_pylist()}
    (pcc,) = Store(root).query("SELECT value FROM slide_scores WHERE metric = 'pcc'").to_pylist()

    assert (genes["G1"]["pcc"], genes["G1"]["undefined_reason"]) == (None, "constant_truth")
    assert (genes["G2"]["pcc"], genes["G2"]["undefined_reason"]) == (0, "constant_prediction")
    assert pcc["value"] == pytest.approx((0 + genes["G3"]["pcc"]) / 2)


def test_the_latest_finished_run_of_a_cell_counts_once(root: Path) -> None:
    truth = random_slides(1)
    cell = make_cell("B")
    commit_run(root, cell, "run-1", truth, {"B1": -truth["B1"]})
    commit_run(root, cell, "run-2", truth, {"B1": truth["B1"]})
    commit_failure(root, cell, "run-3")

    store = Store(root)

    assert [r["run_id"] for r in store.query("SELECT run_id FROM cells").to_pylist()] == ["run-2"]
    assert store.query("SELECT count(*) AS n FROM runs").to_pylist() == [{"n": 3}]
    (score,) = store.query("SELECT run_id, value FROM slide_scores WHERE metric = 'pcc'").to_pylist()
    assert score == {"run_id": "run-2", "value": pytest.approx(1)}
    assert store.query("SELECT count(*) AS n FROM predictions").to_pylist() == [{"n": 36}]
    assert store.query("SELECT count(*) AS n FROM truth").to_pylist() == [{"n": 36}]


def test_a_cell_that_only_failed_is_not_finished_and_has_no_scores(root: Path) -> None:
    cell = make_cell("B")
    commit_failure(root, cell, "run-1")

    store = Store(root)

    assert store.finished() == set()
    assert store.query("SELECT * FROM slide_scores").num_rows == 0
    assert store.query("SELECT status, failure_stage, failure FROM runs").to_pylist() == [
        {"status": "failed", "failure_stage": "fit", "failure": "ValueError: no"}
    ]


def test_a_record_says_of_itself_what_it_said_when_written(root: Path) -> None:
    values = random_slides(1)
    cell = make_cell("B", params={"k": 3, "name": "é"}, seed=4)
    folder = commit_run(root, cell, "run-1", values, {"B1": values["B1"]})

    found_in, record = Store(root).find("run-1")

    assert found_in == folder == root / "runs" / "hand" / "stbench-v1" / "method" / f"{cell.key}-run-1"
    assert record.cell == cell
    assert record.cell.key == record.cell_key == cell.key
    assert set(record.files) == {"moments.parquet", "metrics.parquet", "predictions.parquet"}
    assert json.loads((folder / "run.json").read_text())["schema_version"] == 1


def test_a_run_is_invisible_until_it_is_committed(root: Path) -> None:
    writer = RunWriter(Layout(root).create(), "run-1")
    (writer.folder / "log.txt").write_text("under way")

    assert Store(root).records == {}
    final = writer.commit(make_record(make_cell("B"), "run-1"))

    assert list(Store(root).records) == [final]
    assert not writer.folder.exists()


def test_the_working_folder_of_a_model_is_not_kept(root: Path) -> None:
    writer = RunWriter(Layout(root).create(), "run-1")
    (writer.folder / "work" / "deep").mkdir(parents=True)
    (writer.folder / "work" / "deep" / "checkpoint").write_text("large")
    (writer.folder / "log.txt").write_text("said")

    final = writer.commit(make_record(make_cell("B"), "run-1"))

    assert sorted(p.name for p in final.iterdir()) == ["log.txt", "run.json"]
