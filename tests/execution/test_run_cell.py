from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stbench.execution import run_cell
from stbench.execution.worker import new_run_id
from stbench.protocols import Fold, Part
from stbench.store import RunRecord, Store


def test_a_finished_run_records_what_reproduction_needs(toys: Any) -> None:
    cell = toys.cell("toy-good")

    record = run_cell(cell, toys.options)

    (kept,) = Store(toys.store).records.values()
    assert kept == record
    assert (record.status, record.failure) == ("ok", None)
    assert record.cell_key == cell.key
    assert [(t.slide, t.patient, t.n_spots) for t in record.test] == [("P1-S1", "P1", 40)]
    assert record.n_genes == 15
    assert set(record.cost.seconds) == {"load", "protocol", "fit", "predict", "score", "commit"}
    assert all(seconds >= 0 for seconds in record.cost.seconds.values())
    assert record.cost.peak_memory_mb > 50
    assert record.cost.n_parameters == 7 * 15
    assert record.cost.peak_gpu_memory_mb is None
    assert record.device == "cpu"
    assert record.environment["compile"] is False
    assert {"python", "platform", "packages", "cpu_count", "memory_gb", "git", "gpu"} <= set(record.environment)
    assert {"stbench", "torch", "numpy", "scanpy"} <= set(record.environment["packages"])
    assert record.cell.distributions == {"stbench-toy": "1.0", "stbench": record.environment["packages"]["stbench"]}
    assert set(record.files) == {"moments.parquet", "metrics.parquet", "predictions.parquet"}


def test_the_ledger_answers_every_question(toys: Any) -> None:
    record = run_cell(toys.cell("mean"), toys.options)

    assert record.ledger == {
        "same_patient": "no",
        "same_image": "no",
        "same_slide": "no",
        "target_saw_test": "no",
        "truth_modified": "no",
        "selected_on_test": "no",
        "encoder_saw_test": "no",
    }
    assert record.badges == []


def test_a_declared_overlap_is_a_badge(toys: Any) -> None:
    cell = toys.cell("mean", fold="block-1", datasets=("toy-single",), protocols=("stbench-blocks-v1",))

    record = run_cell(cell, toys.options)

    assert record.ledger["same_slide"] == record.ledger["same_patient"] == record.ledger["same_image"] == "yes"
    assert record.badges == ["same patient", "same image", "same slide"]


def test_predict_sees_no_expression(toys: Any) -> None:
    record = run_cell(toys.cell("toy-blind"), toys.options)

    assert record.failure is None


def test_predictions_are_scored_against_the_gene_they_were_made_for(toys: Any) -> None:
    run_cell(toys.cell("mean"), toys.options)
    store = Store(toys.store)

    predicted = {
        r["gene"]: r["y_pred"] for r in store.query("SELECT DISTINCT gene, y_pred FROM predictions").to_pylist()
    }
    moments = store.query("SELECT gene, mean_true, mean_pred FROM moments WHERE split = 'test'").to_pylist()
    true = dict(store.query("SELECT gene, avg(y_true) AS m FROM truth GROUP BY 1").to_pandas().to_numpy())

    assert len(moments) == 15
    for row in moments:
        assert row["mean_pred"] == pytest.approx(predicted[row["gene"]], rel=1e-5)
        assert row["mean_true"] == pytest.approx(true[row["gene"]], rel=1e-5)
    assert len({row["mean_pred"] for row in moments}) > 10


def test_validation_keeps_moments_only(toys: Any) -> None:
    run_cell(toys.cell("mean"), toys.options)
    store = Store(toys.store)

    def slides(view: str, where: str = "true") -> list[str]:
        return [
            r["slide"] for r in store.query(f"SELECT DISTINCT slide FROM {view} WHERE {where} ORDER BY 1").to_pylist()
        ]

    assert slides("moments", "split = 'validation'") == ["P2-S1", "P3-S1"]
    assert slides("moments", "split = 'test'") == ["P1-S1"]
    assert slides("predictions") == slides("truth") == slides("metrics") == ["P1-S1"]


def test_a_streamed_prediction_is_stored_like_a_whole_one(toys: Any) -> None:
    run_cell(toys.cell("toy-blind"), toys.options)
    run_cell(toys.cell("toy-streams"), toys.options)

    sql = "SELECT gene, spot, y_pred, y_std FROM predictions WHERE model = '{}' ORDER BY gene, spot"
    whole, streamed = (Store(toys.store).query(sql.format(m)) for m in ("toy-blind", "toy-streams"))

    assert whole.select(["gene", "spot", "y_pred"]) == streamed.select(["gene", "spot", "y_pred"])
    assert set(whole["y_std"].to_pylist()) == {None}
    assert set(streamed["y_std"].to_pylist()) == {0.5}


def test_a_second_run_gives_the_same_numbers(toys: Any) -> None:
    cell = toys.cell("toy-good")

    folders = [Store(toys.store).find(run_cell(cell, toys.options).run_id)[0] for _ in range(2)]

    first, second = (pq.read_table(f / "predictions.parquet", columns=["slide", "gene", "y_pred"]) for f in folders)
    assert first == second


@pytest.mark.parametrize(
    ("model", "stage", "kind", "sentence"),
    [
        ("toy-fit-error", "fit", "ValueError", "no way to fit"),
        ("toy-predict-error", "predict", "ZeroDivisionError", "predict broke"),
        ("toy-wrong-shape", "predict", "PredictionError", r"shape"),
        ("toy-nan", "predict", "PredictionError", "NaN or infinite"),
    ],
)
def test_a_failure_is_a_run_with_stage_and_traceback(
    model: str, stage: str, kind: str, sentence: str, toys: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record = run_cell(toys.cell(model), toys.options)

    assert record.status == "failed"
    assert (record.failure.stage, record.failure.kind) == (stage, kind)
    assert sentence in record.failure.message
    assert "stbench_toy_models.py" in record.failure.traceback or kind == "PredictionError"
    assert record.failure.traceback in capsys.readouterr().err
    (folder,) = Store(toys.store).records
    assert [p.name for p in folder.iterdir()] == ["run.json"]
    assert list((toys.store / ".staging").iterdir()) == []


def test_data_that_changed_since_planning_are_refused(toys: Any) -> None:
    cell = toys.cell("mean").model_copy(update={"dataset_revision": "0123456789abcdef"})

    record = run_cell(cell, toys.options)

    assert record.failure.stage == "load"
    assert "the cell was planned for 0123456789abcdef; run the command again" in record.failure.message


def test_parts_that_share_spots_are_refused(toys: Any) -> None:
    cell = toys.cell("mean")
    leaking = Fold("P1", (*cell.fold.train, Part("P1-S1")), (), cell.fold.test)

    record = run_cell(cell.model_copy(update={"fold": leaking}), toys.options)

    assert record.failure.kind == "DataError"
    assert "of slide P1-S1 is in both train and test" in record.failure.message


def test_a_notebook_needs_nothing_but_the_cell(toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STBENCH_CACHE", str(toys.cache_dir))

    record = run_cell(toys.cell("mean"))

    assert record.status == "ok"
    assert Store(tmp_path / "stbench-store").finished() == {record.cell_key}


def test_models_and_predictions_are_kept_when_asked(toys: Any, capsys: pytest.CaptureFixture[str]) -> None:
    options = toys.options.model_copy(update={"keep": frozenset({"model"})})

    record = run_cell(toys.cell("toy-blind"), options)

    assert record.status == "ok"
    assert "toy-blind has no save and load; its weights are not kept" in capsys.readouterr().out


def test_a_record_is_json_that_reads_back(toys: Any) -> None:
    record = run_cell(toys.cell("mean"), toys.options)
    (folder,) = Store(toys.store).records

    text = (folder / "run.json").read_text()

    assert RunRecord.model_validate_json(text) == record
    assert json.loads(text)["cell"]["fold"]["id"] == "P1"


def test_run_ids_sort_by_time_and_never_meet() -> None:
    ids = [new_run_id() for _ in range(200)]

    assert len(set(ids)) == 200
    assert [i.split("-")[0] for i in ids] == sorted(i.split("-")[0] for i in ids)


def test_stored_scores_follow_from_stored_predictions(toys: Any) -> None:
    run_cell(toys.cell("toy-good"), toys.options)
    store = Store(toys.store)

    pairs = store.query(
        "SELECT p.gene, corr(t.y_true, p.y_pred) AS r FROM predictions p "
        "JOIN truth t USING (truth_key, fold, slide, gene, spot) GROUP BY 1"
    ).to_pylist()
    (score,) = store.query("SELECT value FROM slide_scores WHERE metric = 'pcc' AND split = 'test'").to_pylist()

    assert score["value"] == pytest.approx(np.mean([row["r"] for row in pairs]), rel=1e-6)


def test_the_record_says_that_networks_were_compiled(toys: Any) -> None:
    record = run_cell(toys.cell("mean"), toys.options.model_copy(update={"compile": True}))

    assert record.environment["compile"] is True


def test_a_second_model_on_a_fold_finds_everything_computed(toys: Any, tmp_path: Path) -> None:
    options = toys.options.model_copy(update={"cache_dir": tmp_path / "cache"})

    def computed() -> dict[Path, int]:
        return {path: path.stat().st_ino for path in (tmp_path / "cache").rglob("*") if path.is_file()}

    assert run_cell(toys.cell("toy-good"), options).status == "ok"
    first = computed()
    truth = {path: path.stat().st_ino for path in (toys.store / "truth").rglob("*.parquet")}
    assert run_cell(toys.cell("toy-scaled"), options).status == "ok"

    assert {path.relative_to(tmp_path / "cache").parts[0] for path in first} >= {"patches", "fitted"}
    assert computed() == first
    assert {path: path.stat().st_ino for path in (toys.store / "truth").rglob("*.parquet")} == truth
