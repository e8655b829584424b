"""Sharing cells among commands: one has a cell at a time, and it comes back when that one is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stbench.execution.claims import Queue
from stbench.execution.task import Task
from stbench.store import Layout

HOLDS = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def tasks(toys: Any) -> list[Task]:
    Layout(toys.store).create()
    return [Task(cell=toys.cell("mean", fold=f), options=toys.options, run_id=f"r-{f}") for f in ("P1", "P2")]


def queue(tasks: list[Task]) -> Queue:
    return Queue(tasks, Layout(tasks[0].options.store), fresh=False)


def taken(queue: Queue) -> str | None:
    found = queue.next()
    return found and found[0].cell.fold.id


def test_a_cell_is_with_one_command_and_the_other_takes_the_next(tasks: list[Task]) -> None:
    one, other = queue(tasks), queue(tasks)

    assert (taken(one), taken(other)) == ("P1", "P2")
    assert (taken(one), taken(other)) == (None, None)
    assert (len(one), len(other)) == (1, 1)

    one.release(tasks[0])
    assert taken(other) == "P1"


def test_what_is_put_back_comes_first(tasks: list[Task]) -> None:
    one = queue(tasks)
    found = one.next()
    assert found
    one.put_back(found[0])

    assert [taken(one), taken(one)] == ["P1", "P2"]


def test_a_claim_ends_with_the_process_that_holds_it(tasks: list[Task]) -> None:
    claim = Layout(tasks[0].options.store).staging / f"claim-{tasks[0].cell.key}.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(claim)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    one = queue(tasks)
    assert [taken(one), taken(one)] == ["P2", None]

    holder.kill()
    holder.communicate()
    assert taken(one) == "P1"


def test_claims_leave_nothing_behind(tasks: list[Task]) -> None:
    one = queue(tasks)
    for _ in tasks:
        taken(one)
    for task in tasks:
        one.release(task)

    assert list(Layout(tasks[0].options.store).staging.iterdir()) == []


def test_a_claim_does_not_bring_a_lost_store_back(tasks: list[Task], tmp_path: Path) -> None:
    options = tasks[0].options.model_copy(update={"store": tmp_path / "gone"})
    gone = [tasks[0].model_copy(update={"options": options})]

    assert taken(queue(gone)) == "P1"
    assert not (tmp_path / "gone").exists()
