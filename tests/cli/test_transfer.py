"""``stbench run --test-on`` and the leaderboard of what it ran, by spot size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_trained_on_one_tested_on_another(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run = stbench("run", "-m", "toy-good", "-m", "mean", "-d", "toy", "--test-on", "toy-others", store=store)
    again = stbench("run", "-m", "toy-good", "-d", "toy", "--test-on", "toy-others", store=store)
    board = stbench("leaderboard", "-d", "toy_on_toy-others", "--by", "spot_um", "--format", "json", store=store)

    assert run.returncode == again.returncode == board.returncode == 0, run.stderr + board.stderr
    assert "1 were done before" in again.stdout
    rows = json.loads(board.stdout)
    rows = rows if isinstance(rows, list) else rows["rows"]
    assert {(row["model"], row["spot_um"]) for row in rows} == {
        (model, um) for model in ("toy-good", "mean") for um in ("40", "80")
    }
    assert {row["dataset"] for row in rows} == {"toy_on_toy-others"}


def test_an_unknown_data_set_to_test_on(stbench: Any, tmp_path: Path) -> None:
    refused = stbench("run", "-m", "mean", "-d", "toy", "--test-on", "toy-other", store=tmp_path / "store")

    assert refused.returncode == 1
    assert "toy-others" in refused.stderr
