from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TASK = ("-d", "toy-single", "-p", "stbench-section-v1")


def test_a_sweep_runs_every_value_with_every_seed(stbench: Any, sweep: Any) -> None:
    rows = stbench.query("SELECT model, params, seed FROM cells ORDER BY ALL", sweep.store)

    assert [(r["model"], json.loads(r["params"]), r["seed"]) for r in rows] == [
        ("mean", {}, None),
        ("toy-good", {"noise": 0.01}, 0),
        ("toy-good", {"noise": 0.01}, 1),
        ("toy-good", {"noise": 0.5}, 0),
        ("toy-good", {"noise": 0.5}, 1),
    ]


def test_seeds_change_the_numbers_of_a_model_that_draws(stbench: Any, sweep: Any) -> None:
    rows = stbench.query("SELECT value FROM slide_scores WHERE model = 'toy-good' AND metric = 'pcc'", sweep.store)

    assert len({row["value"] for row in rows}) == len(rows)


def test_variants_are_rows_of_their_own_with_seeds_averaged(stbench: Any, sweep: Any) -> None:
    rows = stbench.json("leaderboard", "--metric", "pcc", store=sweep.store)

    assert [(r["model"], r["params"], r["n_seeds"], r["rank"]) for r in rows] == [
        ("toy-good", {"noise": 0.01}, 2, 1),
        ("toy-good", {"noise": 0.5}, 2, 2),
        ("mean", {}, 1, 3),
    ]


def test_fresh_runs_finished_cells_again_and_fail_fast_starts_nothing_after_a_failure(stbench: Any, sweep: Any) -> None:
    models = ("-m", "mean", "-m", "toy-exits", "-m", "toy-good")
    scores = "SELECT count(*) AS n FROM slide_scores WHERE model = 'mean' AND metric = 'pcc' AND split = 'test'"

    run = stbench("run", *models, *TASK, "--folds", "P1-S2", "--fresh", "--fail-fast", store=sweep.store)

    assert run.returncode == 3
    assert "1 cells ran, 0 were done before, 1 failed, 1 not started" in run.stdout
    assert stbench.query("SELECT count(*) AS n FROM runs WHERE model = 'mean'", sweep.store) == [{"n": 2}]
    assert stbench.query(scores, sweep.store) == [{"n": 1}]


def test_dry_run_shows_the_source_of_every_value_and_runs_nothing(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = ("-m", "ridge", "-m", "toy-good", "-d", "simulated", "--set", "toy-good.noise=0.1", "-j", "2")

    shown = stbench("run", *arguments, "--dry-run", store=store, STBENCH_DEVICE="cpu")

    words = [line.split() for line in shown.stdout.splitlines()]
    assert shown.returncode == 0
    assert ["simulated", "toy-good", "noise", "0.1", "--set"] in words
    assert ["simulated", "ridge", "encoder", '"resnet18"', "preset", "smoke"] in words
    assert ["jobs", "2", "flag"] in words
    assert ["device", "cpu", "STBENCH_DEVICE"] in words
    assert ["precision", "float32", "default"] in words
    assert "8 of 8 cells to run" in shown.stdout
    assert not store.exists()


def test_a_suite_runs_its_matrix_and_the_command_narrows_it(stbench: Any, tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "title: toys\nruns:\n"
        "  - datasets: [toy-single]\n    protocols: [stbench-section-v1]\n"
        "    models: [mean, {name: toy-good, set: {noise: 0.2}}]\n"
        "  - {datasets: [toy], models: [mean], folds: P1}\n"
    )
    store = tmp_path / "store"

    shown = stbench.json("run", "--suite", str(suite), "--dry-run", store=store)
    run = stbench("run", "--suite", str(suite), "-d", "toy-single", "--folds", "0", store=store)

    sources = {(p["dataset"], p["model"]): p["sources"] for p in shown["parameters"]}
    assert sources["toy-single", "toy-good"]["noise"] == "suite"
    assert {(c["dataset"], c["model"]) for c in shown["cells"]} == {*sources}
    assert run.returncode == 0
    assert "2 cells ran" in run.stdout
    refused = stbench("run", "-m", "mean", store=store)
    assert refused.returncode == 1
    assert "-d DATASET is missing; or --suite FILE" in refused.stderr


def test_variants_of_the_prediction_train_once_per_fold(stbench: Any, tmp_path: Path, cache_dir: Path) -> None:
    store, fits = tmp_path / "store", cache_dir / "fits"
    before = set(fits.glob("*"))

    run = stbench("run", "-m", "toy-scaled[scale=1,2,3]", *TASK, "--folds", "0", "-j", "2", store=store)

    assert run.returncode == 0
    logs = [path.read_text() for path in store.glob("runs/**/log.txt")]
    assert sorted("fit shared with another cell" in log for log in logs) == [False, True, True]
    assert set(fits.glob("*")) == before


def test_dry_run_as_json_lists_the_cells(stbench: Any, sweep: Any) -> None:
    planned = stbench.json("run", "-m", "mean", *TASK, "--dry-run", store=sweep.store)

    assert {"cells", "skipped", "notes"} <= set(planned)
    assert [(c["fold"]["id"], c["todo"]) for c in planned["cells"]] == [("P1-S1", True), ("P1-S2", False)]


def test_one_patient_is_not_applicable_and_the_protocol_named_instead_runs(
    stbench: Any, sweep: Any, tmp_path: Path
) -> None:
    refused = stbench("run", "-m", "mean", "-d", "toy-single", store=tmp_path / "store")
    board = {row["model"]: row for row in stbench.json("leaderboard", "--metric", "pcc", store=sweep.store)}

    assert refused.returncode == 2
    assert "use -p stbench-section-v1" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    mean = board["mean"]
    assert (mean["protocol"], mean["n_units"], mean["ci_low"]) == ("stbench-section-v1", 1, None)
    assert "same patient" in mean["badges"]
