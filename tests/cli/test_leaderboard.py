from __future__ import annotations

from pathlib import Path

from handmade import SLIDES, commit_run, make_cell, random_slides


def test_a_metric_that_no_run_has_is_said_with_the_remedy(stbench, tmp_path: Path) -> None:
    truth = random_slides(0)
    commit_run(tmp_path / "store", make_cell("A", SLIDES), "r1", truth, random_slides(1))

    done = stbench("leaderboard", "--metric", "zero_auc", store=tmp_path / "store")

    assert done.returncode == 0
    assert "no run here has zero_auc; `stbench score --run all --metrics zero_auc` computes it" in done.stderr
