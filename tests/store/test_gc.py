from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from handmade import commit_failure, commit_run, commit_tables, make_cell, random_slides, truth_tables
from typer.testing import CliRunner

from stbench.cli.app import app
from stbench.store import Layout, RunWriter, Store
from stbench.store.gc import collect
from stbench.store.owner import SIGNATURE, state_of
from stbench.store.verify import verify

DAY = 86400.0
WEEK = 7 * DAY

WRITER = """
import sys, time
from pathlib import Path
from stbench.store import Layout, RunWriter
RunWriter(Layout(Path(sys.argv[1])).create(), "run-X")
print("writing", flush=True)
time.sleep(60)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cell that failed, then was finished; one that only failed; one that failed after it was finished."""
    root = tmp_path / "store"
    values = random_slides(1)
    commit_failure(root, make_cell("B"), "run-1")
    commit_run(root, make_cell("B"), "run-2", values, {"B1": values["B1"]})
    commit_failure(root, make_cell("C"), "run-3", "timeout")
    commit_failure(root, make_cell("B"), "run-4")
    return root


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    for each in [path, *path.rglob("*")]:
        os.utime(each, (then, then))


def test_only_a_failure_that_a_later_run_made_good_goes(root: Path) -> None:
    done = collect(root, WEEK)

    assert [left.path.name for left in done.removed] == [f"{make_cell('B').key}-run-1"]
    assert "run run-2 finished the cell" in done.removed[0].why
    assert [record.run_id for record in Store(root).records.values()] == ["run-2", "run-3", "run-4"]
    assert verify(root).problems == []
    assert collect(root, WEEK).removed == []


def test_a_dry_run_says_the_same_and_removes_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))

    would = collect(root, WEEK, dry_run=True)

    assert sorted(root.rglob("*")) == before
    assert [left.path for left in would.removed] == [left.path for left in collect(root, WEEK).removed]


def test_a_killed_writers_debris_goes_and_a_living_ones_stays(root: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    assert writer.stdout.readline() == "writing\n"
    debris = root / ".staging" / "run-X"
    age(debris, 30 * DAY)

    assert state_of(debris) == "alive"
    assert collect(root, WEEK).alive == 1
    assert debris.is_dir()

    writer.kill()
    writer.wait()
    assert state_of(debris) == "dead"
    collect(root, WEEK)
    assert not debris.exists()


def test_a_writer_that_died_just_now_is_left_to_its_parent(root: Path) -> None:
    debris = RunWriter(Layout(root).create(), "run-X").folder
    stated = json.loads((debris / SIGNATURE).read_text())
    (debris / SIGNATURE).write_text(json.dumps(stated | {"started": 1.0}))  # its number was given to another

    assert state_of(debris) == "dead"
    assert collect(root, WEEK).alive == 1


@pytest.mark.parametrize("signature", ['{"machine": "another", "pid": 1, "started": 1.0}', "{", None])
def test_what_another_machine_writes_is_judged_by_age(signature: str | None, root: Path) -> None:
    debris = RunWriter(Layout(root).create(), "run-X").folder
    if signature is None:
        (debris / SIGNATURE).unlink()
    else:
        (debris / SIGNATURE).write_text(signature)

    assert state_of(debris) == "unknown"
    age(debris, 6 * DAY)
    assert collect(root, WEEK).alive == 1
    (debris / "log.txt").write_text("epoch 1")  # it lives
    age(debris, 8 * DAY)
    (debris / "log.txt").write_text("epoch 2")
    assert collect(root, WEEK).alive == 1
    age(debris, 8 * DAY)
    removed = {left.path: left.why for left in collect(root, WEEK).removed}
    assert removed[debris] == "unchanged for 8.0 days"
    assert not debris.exists()


def test_a_commit_takes_no_signature_along(root: Path) -> None:
    for folder in Store(root).records:
        assert not (folder / "work").exists()


def test_a_truth_without_runs_goes_when_it_is_old(root: Path) -> None:
    orphan = root / "truth" / "truth-A1"
    commit_tables(Layout(root), "truth-A1", truth_tables("truth-A1", "A1", random_slides(1)["A1"]))

    collect(root, WEEK)
    assert orphan.is_dir()

    for folder in (root / "truth").iterdir():
        age(folder, 8 * DAY)
    collect(root, WEEK)
    assert [path.name for path in (root / "truth").iterdir()] == ["truth-B1"]


def test_a_truth_that_a_writer_found_there_stays(root: Path) -> None:
    tables = truth_tables("truth-A1", "A1", random_slides(1)["A1"])
    commit_tables(Layout(root), "truth-A1", tables)
    age(root / "truth" / "truth-A1", 8 * DAY)

    commit_tables(Layout(root), "truth-A1", tables)  # its run is not committed yet
    collect(root, WEEK)

    assert (root / "truth" / "truth-A1").is_dir()


def test_a_damaged_run_keeps_the_truths(root: Path) -> None:
    (folder,) = root.glob("runs/*/*/*/*-run-2")
    (folder / "run.json").write_text("{")
    age(root / "truth" / "truth-B1", 8 * DAY)

    done = collect(root, WEEK)

    assert (root / "truth" / "truth-B1").is_dir()
    assert "damaged runs may refer to them" in done.notes[0]


def test_an_absent_store_has_nothing_to_remove(tmp_path: Path) -> None:
    assert collect(tmp_path / "nothing", WEEK).removed == []
    assert not (tmp_path / "nothing").exists()


def test_collections_beside_writers_lose_nothing(tmp_path: Path) -> None:
    root, values = tmp_path / "store", random_slides(1)
    Layout(root).create()
    stop = threading.Event()

    def clean() -> None:
        while not stop.is_set():
            collect(root, 5.0)

    with ThreadPoolExecutor(1) as pool:
        cleaning = pool.submit(clean)
        try:
            for number in range(20):
                cell = make_cell("B", seed=number)
                commit_failure(root, cell, f"run-{number:02d}-a")
                commit_run(root, cell, f"run-{number:02d}-b", {"B1": values["B1"]}, {"B1": values["B1"]})
        finally:
            stop.set()
        cleaning.result()
    collect(root, 5.0)
    assert verify(root).problems == []
    assert [record.status for record in Store(root).records.values()] == ["ok"] * 20


def test_the_command_says_what_went_and_what_it_freed(root: Path, tmp_path: Path) -> None:
    patches = tmp_path / "cache" / "patches" / "ab" / f"{'ab' * 32}.npy"
    patches.parent.mkdir(parents=True)
    patches.write_bytes(bytes(3_000_000))
    age(patches, DAY)
    arguments = ["store", "gc", "--store", str(root), "--cache", "1MB"]
    environment = {"STBENCH_CACHE": str(tmp_path / "cache")}

    would = CliRunner().invoke(app, [*arguments, "--dry-run"], env=environment).stdout
    done = CliRunner().invoke(app, arguments, env=environment).stdout
    again = CliRunner().invoke(app, [*arguments, "--format", "json"], env=environment).stdout

    assert "would go: " in would
    assert "store: 1 would go" in would
    assert "cache: 1 entries removed, 3.0 MB; 0 B left of 3.0 MB" in done
    assert not patches.exists()
    assert json.loads(again)["store"] == []
