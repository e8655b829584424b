from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from handmade import commit_failure, commit_run, make_cell, random_slides
from typer.testing import CliRunner

from stbench.cli.app import app
from stbench.errors import StoreError, UsageError
from stbench.store import Store
from stbench.store.merge import merge
from stbench.store.verify import verify

VALUES = random_slides(1)


def finish(root: Path, patient: str, run_id: str, predicted: float = 0.0) -> Path:
    slide = f"{patient}1"
    return commit_run(root, make_cell(patient), run_id, VALUES, {slide: VALUES[slide] + predicted})


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    """Two machines: each has a cell of its own, and one that both finished."""
    here, there = tmp_path / "here", tmp_path / "there"
    finish(here, "B", "20260101-here")
    finish(there, "C", "20260102-there")
    finish(there, "B", "20260103-there", predicted=1.0)
    commit_failure(there, make_cell("A"), "20260104-there")
    return here, there


def test_all_runs_come_with_their_truths_and_every_cell_counts_once(stores: tuple[Path, Path]) -> None:
    done = merge(*stores)

    store = Store(stores[0])
    assert (done.added, done.present, done.skipped) == (3, 0, [])
    assert len(store.records) == 4
    assert store.finished() == {make_cell("B").key, make_cell("C").key}
    assert store.query("SELECT fold, run_id FROM cells ORDER BY fold").to_pylist() == [
        {"fold": "B", "run_id": "20260103-there"},
        {"fold": "C", "run_id": "20260102-there"},
    ]
    assert store.query("SELECT count(*) AS n FROM slide_scores WHERE metric = 'pcc'").to_pylist() == [{"n": 2}]
    assert verify(stores[0]).problems == []
    assert verify(stores[0]).debris == []


def test_skewed_clocks_change_which_run_counts_and_never_how_often(tmp_path: Path) -> None:
    """The machine whose clock is a year ahead ran first; merged either way, both machines see the same run."""
    ahead, right = tmp_path / "ahead", tmp_path / "right"
    finish(ahead, "B", "20270101-ahead")
    finish(right, "B", "20260101-right", predicted=1.0)

    merge(ahead, right)
    merge(right, ahead)

    for root in (ahead, right):
        counted = Store(root).query("SELECT run_id FROM cells").to_pylist()
        assert counted == [{"run_id": "20270101-ahead"}]
        assert len(Store(root).finished()) == 1


def test_a_second_merge_adds_nothing(stores: tuple[Path, Path]) -> None:
    merge(*stores)
    before = {p: p.stat().st_mtime_ns for p in stores[0].rglob("*") if p.is_file()}

    again = merge(*stores)

    assert (again.added, again.present) == (0, 3)
    assert {p: p.stat().st_mtime_ns for p in stores[0].rglob("*") if p.is_file()} == before


def test_metrics_that_were_added_since_come_along(stores: tuple[Path, Path]) -> None:
    merge(*stores)
    (run,) = stores[1].glob("runs/*/*/*/*-20260102-there")
    shutil.copy(run / "metrics.parquet", run / "metrics-ssim.parquet")

    assert merge(*stores).added == 0

    assert len(list(stores[0].glob("runs/*/*/*/*-20260102-there/metrics-ssim.parquet"))) == 1


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("runs/*/*/*/*-20260102-there/moments.parquet", "20260102-there"),
        ("truth/truth-C1/truth.parquet", "20260102-there"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(pattern: str, name: str, stores: tuple[Path, Path]) -> None:
    (path,) = stores[1].glob(pattern)
    os.truncate(path, path.stat().st_size // 2)

    done = merge(*stores)

    assert done.added == 2
    assert name in done.skipped[0]
    assert verify(stores[0]).problems == []


def test_a_run_that_is_damaged_here_is_named_and_comes_again_when_removed(stores: tuple[Path, Path]) -> None:
    merge(*stores)
    (folder,) = stores[0].glob("runs/*/*/*/*-20260102-there")
    os.truncate(folder / "moments.parquet", 10)

    (said,) = merge(*stores).skipped
    shutil.rmtree(folder)

    assert f"is damaged here; remove {folder}" in said
    assert merge(*stores).added == 1
    assert verify(stores[0]).problems == []


def test_one_id_for_two_runs_stops_before_anything_is_copied(stores: tuple[Path, Path]) -> None:
    finish(stores[0], "C", "20260103-there")

    with pytest.raises(StoreError, match=r"run 20260103-there is another one in .*nothing was merged"):
        merge(*stores)

    assert len(Store(stores[0]).records) == 2


def test_a_newer_store_is_refused(stores: tuple[Path, Path]) -> None:
    (stores[1] / "STORE.json").write_text(json.dumps({"format": "stbench-store", "schema": 99}))

    with pytest.raises(StoreError, match="schema 99, this stbench reads up to"):
        merge(*stores)


def test_a_store_is_not_merged_into_itself_nor_from_nowhere(stores: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is the store to merge into"):
        merge(stores[0], stores[0])
    with pytest.raises(UsageError, match="there is no store in"):
        merge(stores[0], tmp_path / "nowhere")


def test_the_command_takes_several_stores(stores: tuple[Path, Path], tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["store", "merge", *map(str, stores), "--store", str(tmp_path / "all")])

    assert said.exit_code == 0
    assert f"{stores[0]}: 1 runs added, 0 were here before, 0 left out" in said.stdout
    assert f"{stores[1]}: 3 runs added, 0 were here before, 0 left out" in said.stdout
    assert len(Store(tmp_path / "all").finished()) == 2
