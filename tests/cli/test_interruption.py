"""Runs that are stopped from outside: Ctrl-C, then a killed parent, then the same command to the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from stbench.store import Store

RUN = ("run", "-m", "toy-sleeps", "--set", "seconds=0.7", "-d", "toy", "--seeds", "0,1", "-j", "1")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sessions and signals of POSIX")


def finished(store: Path) -> list[Path]:
    return list(store.glob("runs/*/*/*/*/run.json"))


def wait_for(condition: Any, seconds: float = 60) -> None:
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, "waited in vain"
        time.sleep(0.02)


def session_of(leader: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def fitting(store: Path) -> bool:
    """Whether a cell that is not committed is in its fit."""
    for stage in (store / ".staging").glob("*/work/stage"):
        try:
            if stage.read_text() == "fit":
                return True
        except OSError:
            continue
    return False


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interruption") / "store"


@pytest.fixture(scope="module")
def interrupted(stbench: Any, store: Path) -> tuple[int, str, str]:
    """Ctrl-C while the third cell fits: exit code, what was said, statuses."""
    process: subprocess.Popen[str] = stbench.start(*RUN, store=store)
    wait_for(lambda: len(finished(store)) == 2 and fitting(store))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    wait_for(lambda: not session_of(process.pid), 5)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def statuses_after_interruption(store: Path, interrupted: tuple[int, str, str]) -> Counter[str]:
    return Counter(record.status for record in Store(store).records.values())


@pytest.fixture(scope="module")
def left_by_the_killed(stbench: Any, store: Path, statuses_after_interruption: Counter[str]) -> list[psutil.Process]:
    """Processes that outlive their parent, killed after it had finished one more cell, by a few seconds."""
    before = len(finished(store))
    process: subprocess.Popen[str] = stbench.start(*RUN, store=store)
    wait_for(lambda: len(finished(store)) == before + 1 and fitting(store))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    stop = time.monotonic() + 5
    while (left := session_of(process.pid)) and time.monotonic() < stop:
        time.sleep(0.05)
    return left


@pytest.fixture(scope="module")
def resumed(stbench: Any, store: Path, left_by_the_killed: list[psutil.Process]) -> tuple[int, str]:
    ok_before = Counter(record.status for record in Store(store).records.values())["ok"]
    done: subprocess.CompletedProcess[str] = stbench(*RUN, store=store)
    assert done.returncode == 0, done.stderr
    return ok_before, done.stdout


def test_ctrl_c_keeps_what_is_finished_and_records_what_was_running(
    interrupted: tuple[int, str, str], statuses_after_interruption: Counter[str]
) -> None:
    exit_code, out, err = interrupted

    assert exit_code == 130
    assert statuses_after_interruption == {"ok": 2, "interrupted": 1}
    assert "3 not started" in out
    assert "the same command goes on from here" in err
    assert "Traceback" not in err


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
    process: subprocess.Popen[str] = stbench.start(*RUN, store=store)
    wait_for((store / ".staging").exists)
    time.sleep(0.5)  # the fork server is importing torch
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "Traceback" not in err
    wait_for(lambda: not session_of(process.pid), 10)
