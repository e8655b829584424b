"""Models that run elsewhere, and stored runs scored again, by the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

TASK = ("-d", "toy", "-p", "stbench-v1")
EXPORT = "SELECT fold, slide, spot, gene, y_pred FROM predictions WHERE model = 'mean'"
COSTS = {"fit_seconds", "predict_seconds", "peak_memory_mb", "peak_gpu_memory_mb", "n_parameters"}
NAMES = {"model", "distribution", "preset", "control", "badges"}

METRIC_PLUGIN = """
from stbench.registry import MetricSpec, hookimpl
STBENCH_API = "1"
@hookimpl
def stbench_metrics():
    return [
        MetricSpec(name="toy-rank", factory="spearman_of_genes:spearman", level="gene"),
        MetricSpec(name="broken", factory="spearman_of_genes:broken", level="slide"),
    ]
"""
METRIC = """
import numpy as np
from scipy.stats import spearmanr
from stbench.metrics import Scores, Undefined
def spearman(truth, prediction, measured, slide):
    constant = np.ptp(prediction, axis=0) == 0
    values = [0 if c else spearmanr(t, p).statistic for t, p, c in zip(truth.T, prediction.T, constant)]
    reasons = tuple(Undefined.CONSTANT_PREDICTION if c else None for c in constant)
    return Scores(np.array(values), measured.sum(0), reasons)
def broken(truth, prediction, measured, slide):
    raise ZeroDivisionError("no")
"""


@pytest.fixture(scope="module")
def store(stbench: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models on all folds."""
    store = tmp_path_factory.mktemp("outside") / "store"
    assert stbench("run", "-m", "mean", "-m", "toy-good", *TASK, store=store).returncode == 0
    return store


@pytest.fixture(scope="module")
def exported(stbench: Any, store: Path) -> Path:
    """Predictions of a model that ran here, as a file."""
    path = store.parent / "mean.parquet"
    done = stbench("query", EXPORT, "-o", str(path), store=store)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1,800 rows in {path}\n"
    return path


def board(stbench: Any, store: Path, model: str) -> dict[str, dict[str, Any]]:
    """Rows of a model's leaderboard by metric, without what says who it is and what it cost."""
    rows = [row for row in stbench.json("leaderboard", store=store) if row["model"] == model]
    return {row["metric"]: {k: v for k, v in row.items() if k not in COSTS | NAMES} for row in rows}


def test_predictions_scored_as_a_file_have_the_rows_of_the_model(stbench: Any, store: Path, exported: Path) -> None:
    done = stbench("score", str(exported), "--as", "theirs", *TASK, store=store)

    assert done.returncode == 0, done.stderr
    assert "3 cells scored, 0 were done before" in done.stdout
    here, elsewhere = board(stbench, store, "mean"), board(stbench, store, "theirs")
    assert set(here) == set(elsewhere) >= {"pcc", "pcc_pooled", "pcc_spot", "r2", "mse", "mae", "rmse", "pcc_hvg50"}
    for metric, row in here.items():
        for name, value in row.items():
            assert elsewhere[metric][name] == pytest.approx(value, abs=1e-6), (metric, name)
    again = stbench("score", str(exported), "--as", "theirs", *TASK, store=store)
    assert again.returncode == 0
    assert "0 cells scored, 3 were done before" in again.stdout


def test_a_task_is_exported_predicted_and_scored(stbench: Any, store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "task"
    said = stbench.json("task", *TASK, "--folds", "P1,P2", "-o", str(folder))
    assert [fold["fold"] for fold in said["folds"]] == ["P1", "P2"]
    frames = []
    for fold in said["folds"]:
        panel = pd.read_csv(folder / fold["panel"])
        for part in fold["test"]:
            import anndata

            names = anndata.read_h5ad(folder / part["file"]).obs_names
            index = pd.MultiIndex.from_product([[fold["fold"]], [part["slide"]], names, panel["gene"]])
            frame = index.to_frame(index=False, name=["fold", "slide", "spot", "gene"])
            frames.append(frame.merge(panel[["gene", "train_mean"]].rename(columns={"train_mean": "y_pred"})))
    path = tmp_path / "predictions.csv.gz"
    pd.concat(frames).to_csv(path, index=False)
    card = tmp_path / "card.yaml"
    card.write_text("title: Somebody's mean\nn_parameters: 15\ntrain_seconds: 2\n")

    done = stbench("score", str(path), "--as", "their-mean", "--task", str(folder), "--card", str(card), store=store)

    assert done.returncode == 0, done.stderr
    assert "2 cells scored" in done.stdout
    assert "they cover 66.7% of the test" in done.stdout
    (row,) = [r for r in stbench.json("leaderboard", "--metric", "mse", store=store) if r["model"] == "their-mean"]
    assert (row["rank"], row["badges"]) == (None, ["scored from a file", "incomplete"])
    assert (row["coverage"], row["fit_seconds"], row["n_parameters"]) == (pytest.approx(2 / 3), 2, 15)
    sql = "SELECT model, slide, round(value, 5) AS v FROM slide_scores WHERE metric = 'mse' AND split = 'test'"
    scores = {(r["model"], r["slide"]): r["v"] for r in stbench.query(sql, store=store)}
    assert scores["their-mean", "P1-S1"] == scores["mean", "P1-S1"]
    (key,) = [
        row["cell_key"]
        for row in stbench.query("SELECT cell_key FROM cells WHERE fold = 'P1' AND model = 'their-mean'", store)
    ]
    assert "Somebody's mean" in stbench("show", key, store=store).stdout
    assert stbench.json("show", key, store=store)["card"]["n_parameters"] == 15


def test_a_folder_that_is_not_empty_is_refused(in_process: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("precious")

    refused = in_process("task", *TASK, "-o", str(tmp_path))

    assert refused.returncode == 1
    assert "is not empty; give a folder that is empty" in refused.stderr


def test_a_task_that_does_not_apply_leaves_with_2(in_process: Any, tmp_path: Path) -> None:
    refused = in_process("task", "-d", "toy-single", "-p", "stbench-v1", "-o", str(tmp_path / "task"))

    assert refused.returncode == 2
    assert "use -p stbench-section-v1" in refused.stderr
    assert not (tmp_path / "task").exists()


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({"fold": "P9"}, TASK, "1 folds are none of toy under stbench-v1 (P9); there are P1, P2, P3"),
        ({"slide": "P1-S1"}, TASK, "1 slides are no test slides of this fold (P1-S1); it tests P2-S1"),
        ({"spot": "9x9x9"}, TASK, "1 spots are none of its 40 test spots (9x9x9)"),
        ({"gene": "ERBB2"}, TASK, "1 genes are none of its 15 genes of the panel (ERBB2)"),
        ({"y_pred": float("nan")}, TASK, "1,800 of 1,800 values of y_pred are missing, NaN or infinite"),
        ({"dataset": "toy-single"}, TASK, "the dataset is not clear: -d says toy, column dataset says toy-single"),
        ({}, (), "which dataset does"),
        ({}, ("--task", "."), "holds no task.json"),
        ({}, (*TASK, "--card", "nowhere.yaml"), "the card nowhere.yaml cannot be read"),
        ({}, (*TASK, "--metrics", "pcc_spot"), "--metrics goes with --run"),
        ({}, (*TASK, "--run", "all"), "give either a FILE of predictions"),
    ],
)
def test_a_wrong_file_is_one_sentence_and_leaves_the_store_alone(
    change: dict[str, Any], options: tuple[str, ...], sentence: str, exported: Path, in_process: Any, tmp_path: Path
) -> None:
    path = tmp_path / "changed.parquet"
    pd.read_parquet(exported).assign(**change).to_parquet(path)

    refused = in_process("score", str(path), "--as", "theirs", *options, store=tmp_path / "store")

    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert sentence in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "store" / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give either a FILE of predictions and --as NAME, or --run RUN and --metrics NAME"),
        (["a.csv"], "a FILE is scored --as NAME"),
        (["--run", "all"], "--run takes --metrics NAME"),
        (["--run", "all", "--metrics", "pcc_spot", "--as", "x"], "and no --as"),
        (["--run", "all", "--metrics", "pcc"], "pcc follow from the stored moments"),
        (["--run", "all", "--metrics", "spearmann"], "unknown metric 'spearmann'"),
        (["--run", "nothing", "--metrics", "pcc_spot"], "no run 'nothing'"),
    ],
)
def test_a_wrong_score_is_one_sentence(arguments: list[str], sentence: str, in_process: Any, tmp_path: Path) -> None:
    refused = in_process("score", *arguments, store=tmp_path / "store")

    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_question_is_answered_as_csv_too(in_process: Any, store: Path, tmp_path: Path) -> None:
    done = in_process("query", EXPORT, "-o", str(tmp_path / "mean.csv"), "--format", "json", store=store)

    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "mean.csv")) == 1800
    refused = in_process("query", EXPORT, "-o", str(tmp_path / "mean.xlsx"), store=store)
    assert refused.returncode == 1
    assert "is neither .parquet nor .csv" in refused.stderr
    wrong = in_process("query", "SELECT CAST(model AS INT) FROM runs", "-o", str(tmp_path / "x.csv"), store=store)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: query: ")
    assert not (tmp_path / "x.csv").exists()


def test_an_empty_store_has_nothing_to_score_again(in_process: Any, tmp_path: Path) -> None:
    refused = in_process("score", "--run", "all", "--metrics", "pcc_spot", store=tmp_path / "store")

    assert refused.returncode == 2
    assert "can be scored again" in refused.stderr


@pytest.fixture(scope="module")
def with_metric(
    stbench: Any, install: Callable[[Path, str, str], None], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The command line with a plugin's metric installed."""
    folder = tmp_path_factory.mktemp("metric")
    install(folder, "toy-metric", METRIC_PLUGIN)
    (folder / "spearman_of_genes.py").write_text(METRIC)
    return replace(stbench, env=stbench.env | {"PYTHONPATH": os.pathsep.join([stbench.env["PYTHONPATH"], str(folder)])})


def test_a_new_metric_is_that_of_a_run_that_had_it(stbench: Any, with_metric: Any, store: Path, tmp_path: Path) -> None:
    assert stbench("run", "-m", "toy-fit-error", *TASK, "--folds", "P1", store=store).returncode == 3
    run = ("run", "-m", "toy-good", *TASK)
    assert with_metric(*run, store=tmp_path / "store").returncode == 0

    done = with_metric("score", "--run", "all", "--metrics", "toy-rank", store=store)

    assert done.returncode == 0, done.stderr
    assert "have toy-rank now, 1 skipped" in done.stdout
    assert "its status is failed" in done.stderr
    mine, theirs = (board(with_metric, where, "toy-good")["toy-rank"] for where in (store, tmp_path / "store"))
    assert mine["rank"] == 1
    for name in ("value", "ci_low", "ci_high", "n_units", "coverage"):
        assert mine[name] == pytest.approx(theirs[name], rel=1e-12)
    assert stbench("store", "verify", store=store).returncode == 0


def test_no_model_is_imported_to_score_again(with_metric: Any, store: Path) -> None:
    arguments = with_metric.command(["score", "--run", "all", "--metrics", "toy-rank"], store)[1:]
    command = [sys.executable, "-X", "importtime", *arguments]

    done = subprocess.run(command, env=with_metric.env, capture_output=True, text=True, check=False, timeout=120)

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "scipy" in imported  # by the metric
    assert not imported & {"stbench_toy_params", "torch", "lightning", "timm"}  # by the model


def test_a_metric_that_breaks_is_said_and_leaves_with_3(with_metric: Any, store: Path) -> None:
    (key, *_) = [r["cell_key"] for r in with_metric.query("SELECT cell_key FROM cells WHERE model = 'mean'", store)]

    done = with_metric("score", "--run", key, "--metrics", "broken,pcc_spot", store=store)

    assert done.returncode == 3
    assert "metric broken gives nothing for slide" in done.stderr
    assert "ZeroDivisionError: no" in done.stderr
    assert "Traceback" not in done.stderr
