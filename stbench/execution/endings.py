"""How a cell ends when its worker cannot say so itself; executors share it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from stbench.errors import StoreError
from stbench.execution.task import Task
from stbench.store import Layout, RunRecord, RunWriter
from stbench.store.record import Failure, Status


def death(exitcode: int | None) -> tuple[Status, str]:
    """What a worker's exit code says of a cell that it did not commit."""
    if exitcode == -signal.SIGKILL:
        return "oom", "the worker was killed (signal 9), most likely for want of memory; try -j 1"
    if exitcode is not None and exitcode < 0:
        return "failed", f"the worker crashed with signal {-exitcode} ({signal.Signals(-exitcode).name}); see log.txt"
    return "failed", f"the worker ended with exit code {exitcode} before it committed; see log.txt"


def committed(task: Task) -> RunRecord | None:
    """The record that a worker committed, if it did."""
    cell = task.cell
    layout = Layout(task.options.store)
    folder = layout.run_folder(cell.dataset, cell.protocol, cell.model, cell.key, task.run_id)
    try:
        return RunRecord.model_validate_json((folder / "run.json").read_bytes())
    except OSError:
        return None


def bury(task: Task, status: Status, message: str) -> RunRecord:
    """Commit a run for a worker that could not do so itself."""
    from stbench.execution.worker import now

    layout = Layout(task.options.store)
    folder = layout.staging / task.run_id
    record = RunRecord(
        run_id=task.run_id,
        cell_key=task.cell.key,
        status=status,
        cell=task.cell,
        started=now(),
        finished=now(),
        failure=Failure(
            stage=_read(folder / "work" / "stage") or "load",
            kind=status,
            message=message,
            traceback=_tail(folder / "log.txt"),
        ),
        device=task.options.device,
    )
    try:
        writer = RunWriter(layout, task.run_id)
        writer.clear()
        writer.commit(record)
    except (OSError, StoreError) as error:
        print(error, file=sys.stderr)
    return record


def _tail(path: Path, characters: int = 8000) -> str:
    """The end of a log, without reading what may be gigabytes before it."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4 * characters))  # UTF-8: at most four bytes a character
            return file.read().decode("utf-8", errors="replace")[-characters:]
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def log_to(path: Path) -> None:
    """Send all output of this process to a file."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    sys.stdout, sys.stderr = _stream(1), _stream(2)


def _stream(descriptor: int) -> TextIO:
    """Text in UTF-8: what a plugin prints is no reason to fail."""
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
