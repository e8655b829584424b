"""The local executor: a process per cell, so that a crash costs one cell, started cheaply where the platform forks."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from stbench.errors import StoreError, UsageError
from stbench.execution.batch_size import ASKED, SECOND_ATTEMPT
from stbench.execution.claims import Queue
from stbench.execution.endings import bury, committed, death, log_to
from stbench.execution.interruption import Interruption
from stbench.execution.process_group import end_group, end_leftovers, end_with_parent, lead_group
from stbench.execution.processes import cores, limit_numba, limited, process_context, visible_gpus
from stbench.execution.slots import VISIBLE, Slot, slots_of
from stbench.execution.task import OnEnd, OnStart, RunOptions, Task, threads_of
from stbench.registry import discover
from stbench.store import Layout, RunRecord, RunWriter

GLANCE_SECONDS = 0.2
"""How long the command waits for its workers before it looks at Ctrl-C, time limits, the store and other commands."""

SIGNALS_LAG_S = 0.5
"""A queue that ends a job signals one process after the other: a worker may be gone before its command hears of it."""


@dataclass
class _Running:
    task: Task
    slot: Slot
    process: BaseProcess
    started: float


def run_local(tasks: Sequence[Task], options: RunOptions, on_start: OnStart, on_end: OnEnd) -> None:
    """Run tasks, `options.jobs` at a time on each device; each ends as a committed run, however it ends.

    Ctrl-C once lets the cells under way finish; twice, or SIGTERM, stops them and records them as interrupted. A cell
    that ran out of memory is tried once more, in smaller batches, if its model sizes them by its context. A cell that
    another command finishes meanwhile is not run again.

    Parameters
    ----------
    on_start, on_end
        Called in this process as cells start and end.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, if not everything was done.
    StoreError
        The store is gone or cannot be written: what was not started is not trained for nothing.
    """
    layout = Layout(options.store).create()
    with Interruption() as interruption:
        context = process_context(threads_of(options), _imports(tasks))
        slots = slots_of(options.device, options.jobs, visible_gpus(context, options.device))
        queue = Queue(tasks, layout, fresh=options.fresh)
        command = _Command(context, slots, queue, interruption, on_start, on_end)
        try:
            while command.goes_on():
                command.fill()
                command.reap()
        except BaseException:
            command.stop("the command was interrupted")
            raise
    if command.problem:
        raise StoreError(command.problem)
    if interruption.asked and len(command.queue):
        raise KeyboardInterrupt


def _imports(tasks: Sequence[Task]) -> list[str]:
    """Libraries that the models of a command ask for; one that is not installed here is its cell's failure."""
    registry, found = discover(), set()
    for model in {f"{task.cell.model_distribution}:{task.cell.model}" for task in tasks}:
        with suppress(UsageError):
            found |= set(registry.get("model", model).spec.imports)
    return sorted(found)


class _Command:
    """Cells waiting, running and ended.

    Attributes
    ----------
    problem
        Why nothing more can be recorded in the store.
    """

    def __init__(
        self,
        context: BaseContext,
        slots: Sequence[Slot],
        queue: Queue,
        interruption: Interruption,
        on_start: OnStart,
        on_end: OnEnd,
    ) -> None:
        self.context, self.queue, self.interruption = context, queue, interruption
        self.on_start, self.on_end = on_start, on_end
        self.free = list(slots)
        self.running: list[_Running] = []
        self.threads = max(1, cores() // max(1, min(len(slots), len(queue))))
        self.problem = ""
        self._closed = False
        self._said: set[str] = set()

    def goes_on(self) -> bool:
        """Whether there is anything left to do, and the user does not want it stopped."""
        if self.interruption.asked >= 2:
            raise KeyboardInterrupt
        if self.interruption.asked:
            self._closed = True
            self._say_once(f"finishing {_cells(len(self.running))}; press Ctrl-C again to stop")
        return bool(self.running or (len(self.queue) and not self._closed))

    def fill(self) -> None:
        """Start what has a place."""
        while self.free and not self._closed and (taken := self.queue.next()):
            task, done = taken
            if done:
                self.on_start(task)
                self.on_end(task, done)
                continue
            if self.running and not self._fits_memory(task):
                self.queue.put_back(task)
                return
            self._start(task, self.free.pop(0))
            self.on_start(task)
        if len(self.queue) and self.free and not self.running and not self._closed:
            self._say_once("another command on this store is running the cells that are left; waiting for them")

    def reap(self) -> None:
        """Wait a moment, then record the cells that ended, those over time among them."""
        self._refuse_lost_store()
        if not self.running:
            time.sleep(GLANCE_SECONDS if len(self.queue) and not self._closed else 0)
            return
        wait([cell.process.sentinel for cell in self.running], GLANCE_SECONDS)
        for cell in list(self.running):
            limit = cell.task.timeout_s
            overdue = limit is not None and time.monotonic() - cell.started >= limit
            alive = cell.process.is_alive()
            if alive and not overdue:
                continue
            scales = (_staging(cell.task) / "work" / ASKED).exists()  # the record of a dead worker takes it away
            if alive:
                _stop(cell.process)
                record = committed(cell.task) or bury(cell.task, "timeout", f"took longer than {limit:g} s")
            else:
                cell.process.join()
                if _ended_from_outside(cell.process.exitcode) and self.interruption.stops_within(SIGNALS_LAG_S):
                    return  # whoever ended it is ending this command too
                end_leftovers(cell.process.pid or 0)
                record = committed(cell.task) or bury(cell.task, *death(cell.process.exitcode))
            self._ended(cell, record, scales)

    def stop(self, why: str) -> None:
        """Stop what runs and record it."""
        for cell in self.running:
            _stop(cell.process)
            self.queue.release(cell.task)
            if Layout(cell.task.options.store).exists():
                self.on_end(cell.task, committed(cell.task) or bury(cell.task, "interrupted", why))
        self.running = []

    def _start(self, task: Task, slot: Slot) -> None:
        threads = task.resources.threads or task.options.threads or self.threads
        own = task.options.model_copy(update={"device": slot.device, "threads": threads})
        task = task.model_copy(update={"options": own})
        arguments = (task.model_dump_json(), slot.visible)
        process = self.context.Process(target=_work, args=arguments, name=f"stbench {task.cell}")  # type: ignore[attr-defined]
        with limited(threads):
            process.start()
        self.running.append(_Running(task, slot, process, time.monotonic()))

    def _ended(self, cell: _Running, record: RunRecord, scales: bool) -> None:
        self.running.remove(cell)
        scales = scales or record.cost.batch_share is not None
        if record.status == "oom" and scales and cell.task.options.batch_share == 1 and not self._closed:
            from stbench.execution.worker import new_run_id

            print(f"{cell.task.cell} ran out of memory; once more with smaller batches of prediction", file=sys.stderr)
            options = cell.task.options.model_copy(update={"batch_share": SECOND_ATTEMPT})
            task = cell.task.model_copy(update={"options": options, "run_id": new_run_id()})
            self._start(task, cell.slot)
            self.on_start(task)
            return
        self.free.append(cell.slot)
        self.queue.release(cell.task)
        self.on_end(cell.task, record)
        self._closed |= cell.task.options.fail_fast and record.status != "ok"
        if committed(cell.task) is None:
            self._closed = True
            self.problem = (
                f"the store {cell.task.options.store} cannot be written; {_cells(len(self.queue))} not started: make "
                "room or put it back, then give the same command again"
            )

    def _refuse_lost_store(self) -> None:
        """Raise if the store's folder is gone: what runs could not be recorded."""
        for cell in self.running[:1]:
            layout = Layout(cell.task.options.store)
            if not layout.exists():
                raise StoreError(
                    f"the store {layout.root} is gone, removed or unmounted; {_cells(len(self.running))} stopped, "
                    f"{len(self.queue)} not started: put it back and give the same command again"
                )

    def _fits_memory(self, task: Task) -> bool:
        import psutil

        asked = [cell.task.resources.memory_gb or 0.0 for cell in self.running] + [task.resources.memory_gb or 0.0]
        return sum(asked) <= float(psutil.virtual_memory().total) / 2**30

    def _say_once(self, line: str) -> None:
        if line.split()[0] not in self._said:
            self._said.add(line.split()[0])
            print(line, file=sys.stderr, flush=True)


def _cells(number: int) -> str:
    return f"{number} cell{'s' * (number != 1)}"


def _stop(process: BaseProcess) -> None:
    end_group(process.pid or 0)
    process.join()


def _ended_from_outside(exitcode: int | None) -> bool:
    """Whether a worker may have been ended by somebody else; 255: its fork server was."""
    return exitcode in (255, -signal.SIGTERM, -signal.SIGKILL)


def _staging(task: Task) -> Path:
    return Layout(task.options.store).staging / task.run_id


def _work(text: str, visible: str | None) -> None:
    """Body of a worker process."""
    if visible is not None:
        os.environ[VISIBLE] = visible
    lead_group()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers and records them
    end_with_parent()
    task = Task.model_validate_json(text)
    try:
        log_to(RunWriter(Layout(task.options.store), task.run_id).folder / "log.txt")
        faulthandler.enable()  # where a crash happened stands in the log
        from stbench.execution.worker import prepare_process, run_cell

        limit_numba(threads_of(task.options))
        prepare_process(task.options)
        run_cell(task.cell, task.options, task.run_id, shares_fit=task.shares_fit)
    except (OSError, StoreError) as error:
        with suppress(OSError):  # the log may be what cannot be written
            print(error, file=sys.stderr)
        sys.exit(1)
