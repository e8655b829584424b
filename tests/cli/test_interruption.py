"""Runs that are stopped from outside: Ctrl-C once, twice, a killed parent, then the same command to the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import fitting, wait_for

from stbench.store import Store

RUN = ("run", "-m", "toy-sleeps", "--set", "seconds=0.7", "-d", "toy", "--seeds", "0,1", "-j", "1")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sessions and signals of POSIX")


def finished(store: Path) -> list[Path]:
    return list(store.glob("runs/*/*/*/*/run.json"))


def marked(mark: Path) -> list[psutil.Process]:
    """Processes of the command on a store, workers and what they started among them: they inherit its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK") == str(mark) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interruption") / "store"


def start(stbench: Any, store: Path, *arguments: str) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = stbench.start(*arguments, store=store, MARK=str(store))
    return process


def statuses(store: Path) -> Counter[str]:
    return Counter(record.status for record in Store(store).records.values())


@dataclass(frozen=True)
class Stopped:
    """How a command ended that was told to stop, and what the store held then."""

    exit_code: int
    out: str
    err: str
    statuses: Counter[str]

    @classmethod
    def of(cls, process: subprocess.Popen[str], store: Path) -> Stopped:
        out, err = process.communicate(timeout=30)
        wait_for(lambda: not marked(store), 5)
        return cls(process.returncode, out, err, statuses(store))


@pytest.fixture(scope="module")
def once(stbench: Any, store: Path) -> Stopped:
    """Ctrl-C while the second cell fits."""
    process = start(stbench, store, *RUN)
    wait_for(lambda: len(finished(store)) == 1 and fitting(store))
    os.killpg(process.pid, signal.SIGINT)
    return Stopped.of(process, store)


@pytest.fixture(scope="module")
def twice(stbench: Any, store: Path, once: Stopped) -> Stopped:
    """Ctrl-C, and again, while the third cell fits."""
    process = start(stbench, store, *RUN, "--set", "seconds=30")
    wait_for(lambda: fitting(store))
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    return Stopped.of(process, store)


@pytest.fixture(scope="module")
def left_by_the_killed(stbench: Any, store: Path, twice: Stopped) -> list[psutil.Process]:
    """Processes that outlive their parent, killed after it had finished one more cell, by a few seconds."""
    before = len(finished(store))
    process = start(stbench, store, *RUN)
    wait_for(lambda: len(finished(store)) == before + 1 and fitting(store))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    stop = time.monotonic() + 5
    while (left := marked(store)) and time.monotonic() < stop:
        time.sleep(0.05)
    return left


@pytest.fixture(scope="module")
def resumed(stbench: Any, store: Path, left_by_the_killed: list[psutil.Process]) -> tuple[int, str]:
    ok_before = statuses(store)["ok"]
    done: subprocess.CompletedProcess[str] = stbench(*RUN, store=store)
    assert done.returncode == 0, done.stderr
    return ok_before, done.stdout


def test_ctrl_c_lets_the_running_cell_finish(once: Stopped) -> None:
    assert once.exit_code == 130
    assert once.statuses == {"ok": 2}
    assert "4 not started" in once.out
    assert "finishing 1 cell; press Ctrl-C again to stop" in once.err
    assert "the same command goes on from here" in once.err
    assert "Traceback" not in once.err


def test_a_second_ctrl_c_stops_and_records_it(twice: Stopped) -> None:
    assert twice.exit_code == 130
    assert twice.statuses == {"ok": 2, "interrupted": 1}
    assert "Traceback" not in twice.err


def test_workers_die_with_their_parent(left_by_the_killed: list[psutil.Process]) -> None:
    assert left_by_the_killed == []


def test_the_same_command_runs_only_the_missing_cells(resumed: tuple[int, str]) -> None:
    ok_before, said = resumed

    assert ok_before == 3
    assert "3 cells ran, 3 were done before" in said


def test_every_cell_is_counted_once(store: Path, resumed: tuple[int, str]) -> None:
    opened = Store(store)
    ok = Counter(r.cell_key for r in opened.records.values() if r.status == "ok")
    scored = opened.query(
        "SELECT fold, seed, count(*) AS n FROM slide_scores WHERE metric = 'pcc' AND split = 'test' GROUP BY ALL"
    )

    assert sorted(ok.values()) == [1] * 6
    assert sorted((r["fold"], r["seed"], r["n"]) for r in scored.to_pylist()) == [
        (fold, seed, 1) for fold in ("P1", "P2", "P3") for seed in (0, 1)
    ]
    assert opened.problems == []


def test_ctrl_c_before_the_first_cell_is_an_interruption_too(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(stbench, store, *RUN)
    wait_for((store / ".staging").exists)
    time.sleep(0.5)  # the fork server is importing torch
    os.killpg(process.pid, signal.SIGINT)
    stopped = Stopped.of(process, store)

    assert stopped.exit_code == 130
    assert "Traceback" not in stopped.err


def test_ctrl_c_in_the_last_cell_changes_nothing(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(stbench, store, *RUN[:-4], "--folds", "P3")
    wait_for(lambda: fitting(store))
    os.killpg(process.pid, signal.SIGINT)
    stopped = Stopped.of(process, store)

    assert (stopped.exit_code, stopped.statuses) == (0, {"ok": 1})


def test_sigterm_stops_at_once(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = start(stbench, store, *RUN, "--set", "seconds=60")
    wait_for(lambda: fitting(store))
    process.terminate()
    stopped = Stopped.of(process, store)

    assert (stopped.exit_code, stopped.statuses) == (130, {"interrupted": 1})


def test_a_worker_that_is_ended_just_before_its_command_was_interrupted(stbench: Any, tmp_path: Path) -> None:
    """As queues end a job: one process after the other."""
    store = tmp_path / "store"
    process = start(stbench, store, *RUN, "--set", "seconds=60")
    wait_for(lambda: fitting(store))
    for other in marked(store):
        if other.pid != process.pid:
            other.send_signal(signal.SIGTERM)
    process.terminate()
    stopped = Stopped.of(process, store)

    assert (stopped.exit_code, stopped.statuses) == (130, {"interrupted": 1})
