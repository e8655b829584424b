from __future__ import annotations

import os
from typing import Any

import psutil

from stbench.execution.local import run_local
from stbench.execution.processes import cores
from stbench.execution.task import Task
from stbench.execution.worker import new_run_id, run_cell
from stbench.matrix import Resources
from stbench.store import RunRecord


def test_the_environment_is_left_as_it_was(toys: Any) -> None:
    """This process's numba refuses to compile after its variable changed."""
    cores()  # imports joblib, which sets a variable
    before = dict(os.environ)
    task = Task(cell=toys.cell("mean"), options=toys.options, run_id=new_run_id())
    ended = []

    run_local([task], toys.options, lambda _: None, lambda _, record: ended.append(record))

    assert [record.status for record in ended] == ["ok"]
    assert dict(os.environ) == before


def test_a_cell_whose_plugin_is_not_installed_here_costs_itself_only(toys: Any) -> None:
    here = toys.cell("mean")
    gone = toys.cell("mean", fold="P2").model_copy(update={"model": "gone", "model_distribution": "stbench-gone"})
    tasks = [Task(cell=cell, options=toys.options, run_id=new_run_id()) for cell in (gone, here)]
    ended = {}

    run_local(tasks, toys.options, lambda _: None, lambda task, record: ended.update({task.cell.model: record}))

    assert {model: record.status for model, record in ended.items()} == {"gone": "failed", "mean": "ok"}
    assert "gone" in ended["gone"].failure.message


def test_a_cell_gets_the_threads_and_the_time_that_it_needs(toys: Any) -> None:
    needs = [Resources(threads=1), Resources(timeout_s=0.01)]
    options = toys.options.model_copy(update={"jobs": 2, "threads": 2, "timeout_s": 60})
    cells = [toys.cell("mean", fold=fold) for fold in ("P1", "P2")]
    tasks = [
        Task(cell=cell, options=options, run_id=new_run_id(), resources=need)
        for cell, need in zip(cells, needs, strict=True)
    ]
    ended = {}

    run_local(tasks, options, lambda _: None, lambda task, record: ended.update({task.cell.fold.id: record}))

    assert ended["P1"].environment["threads"] == 1
    assert (ended["P2"].status, ended["P2"].failure.message) == ("timeout", "took longer than 0.01 s")


def test_cells_that_do_not_fit_in_memory_together_wait_for_one_another(toys: Any) -> None:
    options = toys.options.model_copy(update={"jobs": 2})
    whole = Resources(memory_gb=psutil.virtual_memory().total / 2**30)
    cells = [toys.cell("mean", fold=fold) for fold in ("P1", "P2")]
    tasks = [Task(cell=cell, options=options, run_id=new_run_id(), resources=whole) for cell in cells]
    order: list[str] = []

    run_local(
        tasks,
        options,
        lambda task: order.append(f"start {task.cell.fold.id}"),
        lambda task, record: order.append(f"{record.status} {task.cell.fold.id}"),
    )

    assert order == ["start P1", "ok P1", "start P2", "ok P2"]


def test_what_another_command_finished_meanwhile_is_not_run_again(toys: Any) -> None:
    cell = toys.cell("mean")
    theirs = run_cell(cell, toys.options)
    task = Task(cell=cell, options=toys.options, run_id=new_run_id())
    ended: list[RunRecord] = []

    run_local([task], toys.options, lambda _: None, lambda _, record: ended.append(record))
    assert [record.run_id for record in ended] == [theirs.run_id]

    fresh = toys.options.model_copy(update={"fresh": True})
    run_local([task], fresh, lambda _: None, lambda _, record: ended.append(record))
    assert ended[1].run_id == task.run_id
