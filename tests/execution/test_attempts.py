from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from stbench.errors import DataError
from stbench.execution.attempts import for_other_machines, give_up, outcome, run_here, under_way
from stbench.execution.claims import Queue
from stbench.execution.endings import bury
from stbench.execution.task import Task
from stbench.execution.worker import new_run_id
from stbench.store import Layout, RunWriter, Store
from stbench.store.verify import verify


@pytest.fixture
def task(toys: Any) -> Task:
    Layout(toys.store).create()
    return Task(cell=toys.cell("mean"), options=toys.options, run_id=new_run_id())


def test_a_settled_cell_is_not_run_again(task: Task) -> None:
    first = run_here(task, threads=1)
    second = run_here(task, threads=1)

    assert first.status == "ok"
    assert second == first
    assert len(Store(task.options.store).records) == 1


def test_a_try_after_an_interrupted_one_has_a_name_of_its_own(task: Task) -> None:
    bury(task, "interrupted", "preempted")
    assert outcome(task) is None

    record = run_here(task, threads=1)

    assert (record.run_id, record.status) == (f"{task.run_id}-2", "ok")
    assert outcome(task) == record
    assert verify(task.options.store).problems == []


def test_a_try_begins_without_what_a_lost_one_left(task: Task) -> None:
    lost = RunWriter(Layout(task.options.store), task.run_id)
    (lost.folder / "moments.parquet").write_bytes(b"half of it")

    record = run_here(task, threads=1)

    assert record.status == "ok"
    assert under_way(task) == []
    assert verify(task.options.store).problems == []


def test_giving_up_keeps_the_log_and_the_stage(task: Task) -> None:
    folder = RunWriter(Layout(task.options.store), task.run_id).folder
    (folder / "log.txt").write_text("the last line\n")
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / "stage").write_text("fit")

    record = give_up(task, "failed", "the node was lost")

    assert record.failure is not None
    assert (record.failure.stage, record.failure.traceback) == ("fit", "the last line\n")
    assert outcome(task) == record
    assert under_way(task) == []


def test_giving_up_removes_the_claim_of_the_worker_that_is_gone_and_no_other(task: Task) -> None:
    layout = Layout(task.options.store)
    claim = layout.staging / f"claim-{task.cell.key}.lock"
    claim.touch()
    give_up(task, "interrupted", "cancelled")
    assert not claim.exists()

    other = Queue([task], layout, fresh=True)
    assert other.next()
    give_up(task.model_copy(update={"run_id": new_run_id()}), "interrupted", "cancelled")
    assert claim.exists()


def test_giving_up_twice_records_it_once(task: Task) -> None:
    assert give_up(task, "failed", "lost") == give_up(task, "interrupted", "cancelled")
    assert len(Store(task.options.store).records) == 1


def test_giving_up_after_a_try_that_recorded_its_own_interruption(task: Task) -> None:
    record = bury(task, "interrupted", "preempted")

    assert give_up(task, "failed", "lost") == record
    assert len(Store(task.options.store).records) == 1


def test_giving_up_what_finished_after_all_changes_nothing(task: Task) -> None:
    record = run_here(task, threads=1)

    assert give_up(task, "failed", "the node was lost") == record


def test_a_machine_that_does_not_see_the_store_says_so(task: Task, tmp_path: Path) -> None:
    elsewhere = task.model_copy(update={"options": task.options.model_copy(update={"store": tmp_path / "elsewhere"})})

    with pytest.raises(DataError, match="does not see the store"):
        run_here(elsewhere, threads=1)
    assert not (tmp_path / "elsewhere").exists()


def test_the_cache_may_be_the_machines_own(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH_OF_TEST", str(tmp_path / "scratch"))

    assert run_here(task, threads=1, cache_dir="$SCRATCH_OF_TEST/stbench").status == "ok"
    assert (tmp_path / "scratch" / "stbench" / "toy" / "grown").exists()


def test_a_cache_that_is_not_here_is_replaced_by_this_machines(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STBENCH_CACHE", str(tmp_path / "own"))
    options = task.options.model_copy(update={"cache_dir": tmp_path / "of-another-machine"})

    assert run_here(task.model_copy(update={"options": options}), threads=1).status == "ok"
    assert (tmp_path / "own" / "toy" / "grown").exists()
    assert not (tmp_path / "of-another-machine").exists()


def test_other_machines_get_absolute_paths(task: Task) -> None:
    named = {"store": Path("store"), "cache_dir": Path("cache"), "data_dir": Path("data")}
    relative = task.model_copy(update={"options": task.options.model_copy(update=named)})
    (sent,) = for_other_machines([relative])

    assert sent.options.store == Path(os.getcwd()) / "store"
    assert sent.options.cache_dir == Path(os.getcwd()) / "cache"
    assert sent.options.data_dir == Path(os.getcwd()) / "data"
    assert sent.options.definitions_dir is None
    assert (sent.cell, sent.run_id) == (task.cell, task.run_id)
