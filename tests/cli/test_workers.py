"""What workers may do to a command, and others to its store: leftovers, want of memory, a store that goes away."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import fitting, wait_for

from stbench.store import Store
from stbench.store.verify import verify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sessions and signals of POSIX")

ONE_FOLD = ("-d", "toy", "--folds", "P3")


def alive(children: Path) -> list[int]:
    pids = [int(pid) for path in children.iterdir() for pid in path.read_text().split()]
    assert pids
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_no_process_outlives_its_cell(stbench: Any, tmp_path: Path) -> None:
    store, children = tmp_path / "store", tmp_path / "children"
    children.mkdir()
    sweep = ("-m", "toy-forks[then=ends,crashes,hangs,stops]", "--set", f"children={children}", *ONE_FOLD)

    done = stbench("run", *sweep, "-j", "2", "--timeout", "6s", store=store)

    ended = {record.cell.params["then"]: record.status for record in Store(store).records.values()}
    assert ended == {"ends": "ok", "crashes": "failed", "hangs": "timeout", "stops": "timeout"}, done.stderr
    assert len(list(children.iterdir())) == 4
    wait_for(lambda: not alive(children), 5)
    assert (verify(store).problems, verify(store).debris) == ([], [])


@pytest.mark.slow
def test_children_of_workers_end_when_the_command_is_killed(stbench: Any, tmp_path: Path) -> None:
    children = tmp_path / "children"
    children.mkdir()
    forks = ("-m", "toy-forks[then=hangs]", "--set", f"children={children}", *ONE_FOLD)
    process = stbench.start("run", *forks, store=tmp_path / "store")
    wait_for(lambda: (children / "hangs").exists() and (children / "hangs").read_text())
    process.kill()
    process.communicate(timeout=30)

    wait_for(lambda: not alive(children), 5)


def test_two_commands_on_one_store_share_the_cells(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    matrix = ("run", "-m", "toy-sleeps", "--set", "seconds=1", "--seeds", "0,1", "-d", "toy")

    both = [stbench.start(*matrix, store=store) for _ in range(2)]
    said = [command.communicate(timeout=120) for command in both]

    assert [command.returncode for command in both] == [0, 0], said
    records = Store(store).records.values()
    assert Counter(record.status for record in records) == {"ok": 6}
    assert len({record.cell_key for record in records}) == 6
    assert (verify(store).problems, verify(store).debris) == ([], [])


# Want of memory: toy-hungry asks how large its batches may be, toy-leaks does not


@pytest.fixture(scope="module")
def short_of_memory(stbench: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("memory") / "store"
    done = stbench("run", "-m", "toy-hungry", "-m", "toy-leaks", *ONE_FOLD, store=store)
    assert done.returncode == 3
    assert "1 cells ran, 0 were done before, 1 failed" in done.stdout
    assert "toy-hungry ran out of memory; once more" in done.stderr
    return store


def test_a_model_that_sizes_batches_by_its_context_is_tried_once_more(short_of_memory: Path) -> None:
    runs = [(f, r) for f, r in Store(short_of_memory).records.items() if r.cell.model == "toy-hungry"]

    assert [(r.status, r.cost.batch_share) for _, r in runs] == [("oom", 1.0), ("ok", 0.5)]
    assert "second attempt after running out of memory" in (runs[1][0] / "log.txt").read_text()


def test_a_model_that_does_not_is_not(short_of_memory: Path) -> None:
    (leaks,) = [r for r in Store(short_of_memory).records.values() if r.cell.model == "toy-leaks"]

    assert leaks.status == "oom"
    assert leaks.failure
    assert "MemoryError" in leaks.failure.kind
    assert verify(short_of_memory).problems == []


def test_a_store_that_goes_away_is_one_sentence_and_does_not_come_back(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = stbench.start("run", "-m", "toy-sleeps", "--set", "seconds=60", "-d", "toy", store=store)
    wait_for(lambda: fitting(store))
    shutil.rmtree(store)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 3
    (said,) = err.splitlines()
    assert said.startswith(f"error: the store {store} is gone, removed or unmounted; 1 cell stopped, 2 not started")
    assert "3 not started" in out
    assert not store.exists()


@pytest.mark.slow
def test_two_commands_on_one_store_share_its_cells(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    command = ("run", "-m", "toy-sleeps", "--set", "seconds=0.5", "-d", "toy", "--seeds", "0,1", "--format", "json")
    both: list[subprocess.Popen[str]] = [stbench.start(*command, store=store) for _ in range(2)]
    said = [process.communicate(timeout=100) for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert [json.loads(out)["ok"] + json.loads(out)["done_before"] for out, _ in said] == [6, 6]
    ran = Counter(record.cell_key for record in Store(store).records.values())
    assert sorted(ran.values()) == [1] * 6
    scored = Store(store).query("SELECT count(*) AS n FROM slide_scores WHERE metric = 'pcc' AND split = 'test'")
    assert scored.to_pylist() == [{"n": 6}]
    assert (verify(store).problems, verify(store).debris) == ([], [])
