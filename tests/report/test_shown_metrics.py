"""Which metrics a leaderboard shows, and which of them rank."""

from __future__ import annotations

from pathlib import Path

from handmade import SLIDES, commit_run, make_cell, random_slides

from stbench.registry import discover
from stbench.report.leaderboard import leaderboard
from stbench.store import Store


def ranks_under(root: Path, metric: str) -> set[int | None]:
    return {row["rank"] for row in leaderboard(Store(root), discover(), metrics=[metric]).rows}


def test_what_describes_the_truth_is_shown_and_not_ranked(tmp_path: Path) -> None:
    truth = random_slides(0)
    for model, value in (("a", 0.4), ("b", 0.4)):
        rows = [{"slide": "S1", "metric": name, "value": value} for name in ("ari_leiden", "ari_leiden_truth")]
        commit_run(tmp_path, make_cell("A", SLIDES, model=model), model, truth, random_slides(1), metrics=rows)

    ranks = {name: ranks_under(tmp_path, name) for name in ("ari_leiden", "ari_leiden_truth")}

    assert ranks == {"ari_leiden": {1}, "ari_leiden_truth": {None}}


def test_a_table_that_shows_few_metrics_has_the_headline_and_the_same_numbers(tmp_path: Path) -> None:
    truth = random_slides(0)
    commit_run(tmp_path, make_cell("A", SLIDES), "r", truth, random_slides(1))

    whole = {row["metric"]: row["value"] for row in leaderboard(Store(tmp_path), discover()).rows}
    few = {row["metric"]: row["value"] for row in leaderboard(Store(tmp_path), discover(), beside=["mse"]).rows}

    assert {"mse", "pcc"} <= set(few) < set(whole)
    assert few == {name: whole[name] for name in few}
