from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def answer(stbench: Any, *arguments: str, **options: Any) -> Any:
    done = stbench(*arguments, "--format", "json", **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("arguments", [["--help"], ["ls", "models"], ["run", "--help"]])
def test_help_and_lists_import_nothing_heavy(arguments: list[str], stbench: Any) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "stbench", *arguments]

    listed = subprocess.run(command, env=stbench.env, capture_output=True, text=True, check=True, timeout=60).stderr

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in listed.splitlines()}
    assert "stbench" in imported
    assert not imported & {"torch", "scanpy", "anndata", "polars", "duckdb", "pyarrow", "sklearn", "scipy", "timm"}


def test_every_kind_can_be_listed(in_process: Any) -> None:
    for kind, known in [
        ("models", "toy-good"),
        ("datasets", "toy"),
        ("metrics", "pcc"),
        ("protocols", "stbench-v1"),
        ("encoders", "resnet18"),
        ("executors", "local"),
    ]:
        assert known in [row["name"] for row in answer(in_process, "ls", kind)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("model", "toy-good"),
        ("model", "ridge"),
        ("dataset", "toy"),
        ("metric", "pcc"),
        ("protocol", "stbench-v1"),
        ("encoder", "resnet18"),
        ("executor", "local"),
    ],
)
def test_everything_can_be_described(kind: str, name: str, in_process: Any) -> None:
    facts = answer(in_process, "info", kind, name)
    table = in_process("info", kind, name)

    assert facts["name"] == name
    assert {"distribution", "version", "factory", "details"} <= set(facts)
    assert name in table.stdout


def test_a_models_parameters_are_described(in_process: Any) -> None:
    (parameter,) = answer(in_process, "info", "model", "toy-good")["details"]

    assert parameter == {
        "parameter": "noise",
        "type": "float",
        "default": "0.01",
        "description": "standard deviation of the noise that the seed draws",
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-m", "meen", "-d", "toy"], "unknown model 'meen'; did you mean mean?"),
        (["-m", "mean", "-d", "toi"], "unknown dataset 'toi'; did you mean toy?"),
        (["-m", "mean", "-d", "toy", "-p", "stbench-v2"], "unknown protocol 'stbench-v2'; did you mean stbench-v1"),
        (["-m", "mean", "-d", "toy", "--executor", "lokal"], "unknown executor 'lokal'; did you mean local?"),
        (["-m", "toy-good", "-d", "toy", "--set", "noize=1"], "no parameter 'noize'; did you mean noise?"),
        (["-m", "toy-good", "-d", "toy", "--set", "noise=much"], "model toy-good: noise='much': Input should be a"),
        (["-m", "toy-good", "-d", "toy", "--set", "noise=-1"], "greater than or equal to 0"),
        (["-m", "toy-good", "-d", "toy", "--set", "noise"], "cannot read 'noise'; the form is --set [MODEL.]param"),
        (["-m", "toy-good", "-m", "mean", "-d", "toy", "--set", "noise=1"], "write MODEL.noise="),
        (["-m", "mean", "-d", "toy", "--preset", "large"], "no model of mean has a preset 'large'"),
        (["-m", "mean", "-d", "toy", "--folds", "P9"], "no fold 'P9'; there are 3 (0-2): P1, P2, P3"),
        (["-m", "mean", "-d", "toy", "--folds", "0-7"], "no fold '0-7'"),
        (["-m", "mean", "-d", "toy", "--seeds", "one"], "cannot read --seeds 'one'"),
        (["-m", "mean", "-d", "toy", "--timeout", "soon"], "cannot read the time limit 'soon'"),
        (["-m", "mean", "-d", "toy", "--device", "tpu"], "--device 'tpu' is none of"),
        (["-m", "mean", "-d", "toy", "--keep", "everything"], "--keep 'everything' is none of predictions, model"),
        (["-m", "mean[k", "-d", "toy"], "cannot read -m 'mean[k'"),
        (["-m", "mean", "-d", "her2st", "--data-dir", "nowhere"], "her2st: nowhere does not hold the published layout"),
    ],
)
def test_a_wrong_run_is_one_sentence(arguments: list[str], sentence: str, in_process: Any, tmp_path: Path) -> None:
    refused = in_process("run", *arguments, store=tmp_path / "store")

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("error: ")
    assert sentence in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--what"],
        ["run", "-m", "mean"],
        ["run", "-m", "mean", "-d", "toy", "-j", "0"],
        ["run", "-m", "mean", "-d", "toy", "-j", "two"],
        ["ls", "planets"],
        ["fly"],
        ["query"],
    ],
)
def test_wrong_options_leave_with_1(arguments: list[str], in_process: Any) -> None:
    refused = in_process(*arguments)

    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "Usage:" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["leaderboard", "--metric", "pc"], "unknown metric 'pc'; did you mean pcc"),
        (["leaderboard", "-d", "toi"], "unknown dataset 'toi'"),
        (["show", "nothing"], "no run 'nothing'"),
        (["info", "model", "ridg"], "unknown model 'ridg'; did you mean ridge?"),
        (["query", "SELEKT 1"], "query: "),
    ],
)
def test_a_wrong_question_is_one_sentence(arguments: list[str], sentence: str, in_process: Any) -> None:
    refused = in_process(*arguments)

    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_store_that_cannot_be_written_is_one_sentence(in_process: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    refused = in_process("run", "-m", "mean", "-d", "toy", store=tmp_path / "file" / "store")

    assert refused.returncode == 1
    assert "give another --store" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_folder_that_is_not_a_store_is_refused(in_process: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("precious")

    for arguments in (["run", "-m", "mean", "-d", "toy"], ["leaderboard"], ["status"], ["query", "SELECT 1"]):
        refused = in_process(*arguments, store=tmp_path)
        assert refused.returncode == 1
        assert "is not a store" in refused.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_store_without_runs_answers(in_process: Any, tmp_path: Path) -> None:
    absent = tmp_path / "store"

    assert answer(in_process, "leaderboard", store=absent) == []
    assert answer(in_process, "status", store=absent) == []
    assert answer(in_process, "ls", "runs", store=absent) == []
    assert answer(in_process, "query", "SELECT * FROM slide_scores", store=absent) == []
    assert "no finished runs" in in_process("leaderboard", store=absent).stderr
    assert not absent.exists()


def test_no_color_is_honoured_and_a_pipe_is_plain(stbench: Any) -> None:
    escape = re.compile(r"\x1b\[")

    assert not escape.search(stbench("ls", "models").stdout)
    coloured = {"FORCE_COLOR": "1"}
    assert escape.search(stbench("ls", "models", **coloured).stdout)
    colours = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38)[0-9;]*m")
    assert not colours.search(stbench("ls", "models", NO_COLOR="1", **coloured).stdout)


@pytest.mark.parametrize("arguments", [["info", "dataset", "toy"], ["ls", "metrics"], ["plugins", "ls"]])
def test_a_terminal_without_greek_is_no_error(arguments: list[str], stbench: Any) -> None:
    printed = stbench(*arguments, PYTHONIOENCODING="ascii")

    assert printed.returncode == 0
    assert printed.stderr == ""


def test_a_list_cut_short_by_head_is_no_error(stbench: Any) -> None:
    command = stbench.command(["ls", "models"], None)

    piped = subprocess.run(
        ["bash", "-c", '"$@" | head -1', "_", *command], env=stbench.env, capture_output=True, text=True, timeout=60
    )

    assert piped.stderr == ""


def test_the_version_is_printed(stbench: Any) -> None:
    assert re.fullmatch(r"stbench \d+\.\d+\.\d+\n", stbench("--version").stdout)


def test_json_of_lists_is_json(stbench: Any) -> None:
    assert json.loads(stbench("plugins", "ls", "--format", "json").stdout)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "-m", "meen", "-d", "toy"], 1),
        (["run", "--what"], 1),
        (["run", "-m", "mean", "-d", "toy-single", "--dry-run"], 2),
        (["ls", "models"], 0),
    ],
)
def test_the_exit_code_leaves_the_process(arguments: list[str], code: int, stbench: Any) -> None:
    assert stbench(*arguments).returncode == code
