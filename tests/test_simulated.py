"""The embedded dataset tells good from bad: what `make demo` shows, held to what the generator promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest


def installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="module")
def stbench(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Callable[..., str]:
    """The command line on one store; gives what it says."""
    store = str(tmp_path_factory.mktemp("simulated") / "store")
    env = os.environ | {"STBENCH_CACHE": str(cache_dir)}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "stbench", *arguments, "--store", store]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def board(stbench: Callable[..., str]) -> dict[str, dict[str, Any]]:
    """Rows of pcc by model, after one run of all controls."""
    stbench("run", "-m", "mean", "-m", "position", "-m", "ridge", "-d", "simulated", "-j", "2")
    rows = json.loads(stbench("leaderboard", "-d", "simulated", "--metric", "pcc", "--format", "json"))
    return {row["model"]: row for row in rows}


def test_every_patient_is_left_out_once(board: dict[str, dict[str, Any]]) -> None:
    for row in board.values():
        assert (row["n_units"], row["coverage"]) == (4, 1.0)


def test_controls_that_do_not_look_predict_nothing(board: dict[str, dict[str, Any]]) -> None:
    assert board["mean"]["value"] == 0
    assert board["position"]["value"] == pytest.approx(0, abs=0.1)


def test_looking_at_the_image_beats_not_looking(board: dict[str, dict[str, Any]]) -> None:
    assert board["ridge"]["ci_low"] > board["position"]["ci_high"]
    assert board["ridge"]["ci_low"] > board["mean"]["value"]
    assert board["ridge"]["rank"] < min(board["position"]["rank"], board["mean"]["rank"])


def test_nothing_beats_the_generators_own_expectation(board: dict[str, dict[str, Any]]) -> None:
    expected = board["ridge"]["references"]["expected"]

    assert 0.3 < expected < 0.6
    assert all(row["value"] < expected for row in board.values())


def test_random_weights_and_the_preset_are_said(board: dict[str, dict[str, Any]]) -> None:
    assert {"preset smoke", "random weights"} <= set(board["ridge"]["badges"])


@pytest.mark.skipif(not installed("stbench-histogene"), reason="stbench-histogene is not installed")
def test_a_published_method_beats_the_blind_controls(
    stbench: Callable[..., str], board: dict[str, dict[str, Any]]
) -> None:
    test = "metric = 'pcc' AND split = 'test' AND fold = 'P1'"
    sql = f"SELECT model, avg(value) AS pcc FROM slide_scores WHERE {test} GROUP BY 1"

    stbench("run", "-m", "histogene", "-d", "simulated", "--folds", "P1")

    pcc = {row["model"]: row["pcc"] for row in json.loads(stbench("query", sql, "--format", "json"))}
    assert pcc["histogene"] > max(pcc["mean"], pcc["position"])
