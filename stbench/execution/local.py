"""The local executor: a process per cell, so that a crash costs one cell, started cheaply where the platform forks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from stbench.errors import StoreError
from stbench.execution.endings import bury, committed, death, log_to
from stbench.execution.task import OnEnd, OnStart, RunOptions, Task, threads_of
from stbench.store import Layout, RunRecord, RunWriter

PRELOAD = [
    "torch",
    "timm",
    "lightning",
    "scanpy",
    "sklearn.linear_model",
    "pyarrow.parquet",
    "stbench.execution.worker",
]
"""Imported once by the fork server: a cell then starts in hundredths of a second instead of several seconds."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass
class _Running:
    task: Task
    process: BaseProcess
    started: float


def run_local(tasks: Sequence[Task], options: RunOptions, on_start: OnStart, on_end: OnEnd) -> None:
    """Run tasks, `options.jobs` at a time; each ends as a committed run, however it ends.

    Parameters
    ----------
    on_start, on_end
        Called in this process as cells start and end.

    Raises
    ------
    KeyboardInterrupt
        After the cells under way were stopped and recorded as interrupted.
    """
    threads = threads_of(options)
    context = _context(threads)
    waiting = iter(tasks)
    running: list[_Running] = []
    stopping = False
    try:
        while True:
            while not stopping and len(running) < options.jobs and (task := next(waiting, None)) is not None:
                running.append(_start(context, task, threads))
                on_start(task)
            if not running:
                return
            for cell, record in _ended(running, options):
                running.remove(cell)
                on_end(cell.task, record)
                stopping |= options.fail_fast and record.status != "ok"
    except BaseException:
        for cell in running:
            _stop(cell.process)
            record = committed(cell.task) or bury(cell.task, "interrupted", "the command was interrupted")
            on_end(cell.task, record)
        raise


def _context(threads: int) -> BaseContext:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(PRELOAD)
        with _limited(threads):
            _start_fork_server()
    return context


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    """Let processes that start meanwhile have `threads` threads each.

    It takes the environment, before anything is loaded: numba, which scanpy uses, resets what is set later. This
    process's own numba would refuse to go on with another number, so the environment is put back.
    """
    added = [variable for variable in THREAD_VARIABLES if variable not in os.environ]
    os.environ.update(dict.fromkeys(added, str(threads)))
    try:
        yield
    finally:
        for variable in added:
            os.environ.pop(variable, None)


def _start_fork_server() -> None:
    """Start it deaf to Ctrl-C, which would otherwise reach it among its imports and print their traceback."""
    from multiprocessing import forkserver

    if threading.current_thread() is not threading.main_thread():
        return  # no other thread may set signal handlers; the first cell starts the server
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def _start(context: BaseContext, task: Task, threads: int) -> _Running:
    process = context.Process(target=_work, args=(task.model_dump_json(),), name=f"stbench {task.cell}")  # type: ignore[attr-defined]
    with _limited(threads):
        process.start()
    return _Running(task, process, time.monotonic())


def _ended(running: Sequence[_Running], options: RunOptions) -> Iterator[tuple[_Running, RunRecord]]:
    """Wait until something happens, then yield the cells that ended, those over time among them."""
    limit = options.timeout_s
    left = [limit - (time.monotonic() - cell.started) for cell in running] if limit is not None else []
    wait([cell.process.sentinel for cell in running], max(0.0, min(left)) if left else None)
    for cell in list(running):
        overdue = limit is not None and time.monotonic() - cell.started >= limit
        if cell.process.is_alive() and not overdue:
            continue
        if cell.process.is_alive():
            _stop(cell.process)
            record = committed(cell.task) or bury(cell.task, "timeout", f"took longer than {limit:g} s")
        else:
            cell.process.join()
            record = committed(cell.task) or bury(cell.task, *death(cell.process.exitcode))
        yield cell, record


def _stop(process: BaseProcess) -> None:
    process.kill()
    process.join()


def _work(text: str) -> None:
    """Body of a worker process."""
    task = Task.model_validate_json(text)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers and records them
    _die_with_parent()
    try:
        log_to(RunWriter(Layout(task.options.store).create(), task.run_id).folder / "log.txt")
        from stbench.execution.worker import prepare_process, run_cell

        prepare_process(task.options)
        run_cell(task.cell, task.options, task.run_id, shares_fit=task.shares_fit)
    except (OSError, StoreError) as error:
        with suppress(OSError):  # the log may be what cannot be written
            print(error, file=sys.stderr)
        sys.exit(1)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
