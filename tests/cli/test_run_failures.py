"""Models that break, each in its own way, next to one that does not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stbench.registry import discover

BROKEN = (
    "toy-sleeps",
    "toy-wrong-shape",
    "toy-nan",
    "toy-fit-error",
    "toy-predict-error",
    "toy-killed",
    "toy-exits",
    "toy-chatty",
    "toy-flaky",
)
ALL = [argument for name in (*BROKEN, "toy-good", "mean") for argument in ("-m", name)]

Run = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failures") / "store"


@pytest.fixture(scope="module")
def first(stbench: Any, store: Path) -> Run:
    limits = ("--set", "toy-sleeps.seconds=600", "--timeout", "12s")
    return stbench("run", *ALL, "-d", "toy", "--folds", "P3", "-j", "2", *limits, store=store)


SOME = ("-m", "toy-good", "-m", "toy-flaky", "-m", "mean", "-d", "toy", "-j", "2")


@pytest.fixture(scope="module")
def complete(stbench: Any, store: Path, first: Run) -> Run:
    """All folds of three of the models."""
    return stbench("run", *SOME, store=store)


@pytest.fixture(scope="module")
def again(stbench: Any, store: Path, complete: Run) -> Run:
    return stbench("run", *SOME, "--format", "json", store=store)


@pytest.fixture(scope="module")
def failed_runs(stbench: Any, store: Path, first: Run) -> dict[str, dict[str, Any]]:
    """First failed run of each model."""
    rows = stbench.query("SELECT * FROM runs WHERE status != 'ok' ORDER BY run_id DESC", store)
    return {row["model"]: row for row in rows}


def test_a_broken_model_costs_its_own_cell_only(stbench: Any, store: Path, first: Run) -> None:
    done = stbench.query("SELECT model FROM cells WHERE fold = 'P3' ORDER BY 1", store)

    assert first.returncode == 3
    assert [row["model"] for row in done] == ["mean", "toy-good"]
    assert f"2 cells ran, 0 were done before, {len(BROKEN)} failed" in first.stdout
    assert "Traceback" not in first.stdout + first.stderr


@pytest.mark.parametrize(
    ("model", "status", "stage", "sentence"),
    [
        ("toy-sleeps", "timeout", "fit", "took longer than 12 s"),
        ("toy-wrong-shape", "failed", "predict", "PredictionError: slide P1-S1: the prediction has shape"),
        ("toy-nan", "failed", "predict", "NaN or infinite"),
        ("toy-fit-error", "failed", "fit", "ValueError: no way to fit [this]"),
        ("toy-predict-error", "failed", "predict", "ZeroDivisionError: predict broke"),
        ("toy-killed", "oom", "fit", "killed (signal 9)"),
        ("toy-exits", "failed", "fit", "exit code 7"),
        ("toy-chatty", "failed", "fit", "exit code 9"),
        ("toy-flaky", "failed", "predict", "RuntimeError: cannot predict P3"),
    ],
)
def test_how_it_broke_is_recorded(
    model: str, status: str, stage: str, sentence: str, failed_runs: dict[str, dict[str, Any]]
) -> None:
    run = failed_runs[model]

    assert (run["status"], run["failure_stage"]) == (status, stage)
    assert sentence in run["failure"]


def test_show_prints_the_traceback(stbench: Any, store: Path, failed_runs: dict[str, dict[str, Any]]) -> None:
    shown = stbench("show", failed_runs["toy-fit-error"]["run_id"], store=store)

    assert shown.returncode == 0
    assert "failed in stage fit: ValueError: no way to fit [this]" in shown.stdout
    assert "Traceback (most recent call last)" in shown.stdout
    assert "stbench_toy_models.py" in shown.stdout


def test_a_dead_worker_shows_the_end_of_its_log(
    stbench: Any, store: Path, failed_runs: dict[str, dict[str, Any]]
) -> None:
    run = failed_runs["toy-chatty"]

    shown = stbench.json("show", run["run_id"], store=store)

    assert shown["failure"]["traceback"].rstrip().endswith("the last line")
    assert len(shown["failure"]["traceback"]) <= 8000
    assert (Path(shown["folder"]) / "log.txt").stat().st_size > 8_000_000


def test_a_larger_command_runs_what_is_missing_or_failed(complete: Run) -> None:
    assert complete.returncode == 3
    assert "6 cells ran, 2 were done before, 1 failed" in complete.stdout


def test_the_same_command_runs_the_failed_cells_again_and_no_other(again: Run) -> None:
    summary = json.loads(again.stdout)

    assert again.returncode == 3
    assert (summary["planned"], summary["done_before"], summary["ok"]) == (9, 8, 0)
    assert [cell["cell"] for cell in summary["failed"]] == ["toy/stbench-v1 fold P3 toy-flaky"]
    assert {"run_id", "cell_key", "cell", "status", "stage", "message"} <= set(summary["failed"][0])


def test_status_counts_a_cell_that_failed_again_once(stbench: Any, store: Path, again: Run) -> None:
    rows = {row["model"]: row for row in stbench.json("status", store=store)}

    assert (rows["toy-nan"]["done"], rows["toy-nan"]["failed"], rows["toy-nan"]["runs"]) == (0, 1, 1)
    assert (rows["toy-good"]["done"], rows["toy-good"]["failed"], rows["toy-good"]["runs"]) == (3, 0, 3)
    assert (rows["toy-flaky"]["done"], rows["toy-flaky"]["failed"], rows["toy-flaky"]["runs"]) == (2, 1, 5)


def test_status_says_why_each_cell_failed(stbench: Any, store: Path, complete: Run) -> None:
    said = stbench("status", store=store).stdout

    assert "failed toy/stbench-v1 fold P3 toy-predict-error" in said
    assert "ZeroDivisionError: predict broke" in said


def test_the_leaderboard_ranks_the_good_and_marks_the_failed(stbench: Any, store: Path, complete: Run) -> None:
    rows = {row["model"]: row for row in stbench.json("leaderboard", "--metric", "pcc", store=store)}

    assert set(rows) == {"toy-good", "toy-flaky", "mean"}
    assert (rows["toy-good"]["rank"], rows["mean"]["rank"], rows["toy-flaky"]["rank"]) == (1, 2, None)
    assert rows["toy-flaky"]["badges"] == ["1 failed", "incomplete"]
    assert rows["toy-flaky"]["coverage"] == pytest.approx(2 / 3)
    assert rows["toy-good"]["coverage"] == 1
    assert rows["toy-good"]["n_units"] == 3
    assert rows["toy-good"]["value"] > 0.5
    assert rows["mean"]["value"] == 0


def test_a_complete_run_has_nothing_left_to_do(stbench: Any, store: Path, complete: Run) -> None:
    again = stbench("run", "-m", "toy-good", "-m", "mean", "-d", "toy", store=store)

    assert again.returncode == 0
    assert "0 cells ran, 6 were done before" in again.stdout


def test_the_query_of_the_readme_answers(stbench: Any, store: Path, complete: Run) -> None:
    sql = "select model, avg(value) as value from slide_scores where metric='pcc' group by 1 order by 2 desc"

    rows = stbench.query(sql, store)

    assert [set(row) for row in rows] == [{"model", "value"}] * 3
    assert rows[-1] == {"model": "mean", "value": 0}


def test_machine_readable_output_has_its_documented_keys(stbench: Any, store: Path, complete: Run) -> None:
    board = stbench.json("leaderboard", store=store)
    runs = stbench.json("ls", "runs", store=store)
    shown = stbench.json("show", runs[0]["run_id"], store=store)

    documented = "dataset protocol model params metric value ci_low ci_high n_units coverage rank badges"
    for row in board:
        assert set(documented.split()) <= set(row)
    own = {r.spec.name for r in discover().all("metric") if r.distribution == "stbench"}
    need_markers_or_labels = {name for name in own if "markers" in name or "kmeans" in name or "leiden" in name}
    assert {row["metric"] for row in board} == own - need_markers_or_labels
    assert {"run_id", "cell_key", "status", "dataset", "protocol", "fold", "model", "seed"} <= set(runs[0])
    assert {"run_id", "cell", "status", "cost", "ledger", "environment", "slide_scores", "folder"} <= set(shown)


@pytest.mark.parametrize("form", ["table", "markdown", "csv"])
def test_the_leaderboard_prints_in_every_format(form: str, stbench: Any, store: Path, complete: Run) -> None:
    printed = stbench("leaderboard", "--format", form, store=store)

    assert printed.returncode == 0
    assert "toy-good" in printed.stdout
    assert "neighbour-mean" in printed.stdout


def test_a_reader_that_closes_the_pipe_early_is_no_error(stbench: Any, store: Path, complete: Run) -> None:
    for form in ("json", "table"):
        command = stbench.command(["query", "SELECT * FROM predictions LIMIT 1500", "--format", form], store)
        piped = subprocess.run(
            ["bash", "-c", '"$@" | head -1', "_", *command],
            cwd=stbench.folder,
            env=stbench.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

        assert piped.stdout.strip() or form == "table"
        assert piped.stderr == ""


@pytest.mark.parametrize("sql", ["SELECT 'nan'::DOUBLE AS x", "SELECT 'inf'::DOUBLE AS x"])
def test_numbers_json_does_not_have_are_null(sql: str, stbench: Any, store: Path, complete: Run) -> None:
    assert stbench.query(sql, store) == [{"x": None}]


def test_columns_of_one_name_are_all_printed(stbench: Any, store: Path, complete: Run) -> None:
    printed = stbench("query", "SELECT 11 AS a, 22 AS a", store=store)

    assert "11" in printed.stdout
    assert "22" in printed.stdout


def test_more_than_one_select_is_refused(stbench: Any, store: Path, complete: Run) -> None:
    refused = stbench("query", "SELECT 1; SELECT 2", store=store)

    assert refused.returncode == 1
    assert refused.stderr == "error: query takes one SELECT over the views; nothing else is run\n"


def test_a_damaged_run_is_said_in_every_format(stbench: Any, store: Path, complete: Run, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    damaged = next(copy.glob("runs/*/*/toy-good/*/moments.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:100])

    for arguments in (["leaderboard"], ["leaderboard", "--format", "json"], ["status"], ["query", "SELECT 1"]):
        said = stbench(*arguments, store=copy)
        assert said.returncode == 0
        assert "moments.parquet is damaged; the run was left out" in said.stderr
