"""Cells that run on other machines may be tried more than once; every try is a run of its own name."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from stbench.errors import DataError
from stbench.execution.claims import forget_claim
from stbench.execution.endings import bury
from stbench.execution.local import run_local
from stbench.execution.task import RunOptions, Task
from stbench.slides import cache
from stbench.store import Layout, RunRecord
from stbench.store.layout import MARKER
from stbench.store.record import Status


def run_here(task: Task, threads: int, cache_dir: str = "") -> RunRecord:
    """Run a cell in a process of its own on this machine, unless an earlier try has settled it.

    Parameters
    ----------
    threads
        CPU threads it may use.
    cache_dir
        Folder of this machine's cache; may name environment variables. Empty: the command's, where it exists here.

    Raises
    ------
    DataError
        This machine does not see the store.
    """
    store = task.options.store
    if not (store / MARKER).is_file():
        raise DataError(
            f"{socket.gethostname()} does not see the store {store}; cells on several machines need a --store in a "
            "folder that all of them share"
        )
    if record := outcome(task):
        return record
    attempt = _next_attempt(task)
    options = _options_here(task.options, threads, cache_dir)
    shares_fit = task.shares_fit and options.cache_dir == task.options.cache_dir  # the command empties its own cache
    ended: list[RunRecord] = []
    attempt = attempt.model_copy(update={"options": options, "shares_fit": shares_fit})
    run_local([attempt], options, lambda _: None, lambda _, record: ended.append(record))
    return ended[0]


def outcome(task: Task) -> RunRecord | None:
    """What a try of this cell committed; tries that were interrupted do not count."""
    return next((record for record in _records(task) if record.status != "interrupted"), None)


def under_way(task: Task) -> list[Path]:
    """Folders of tries that have started and not ended, or that were lost."""
    return sorted(Layout(task.options.store).staging.glob(f"{task.run_id}*"))


def give_up(task: Task, status: Status, message: str) -> RunRecord:
    """Commit a run for a cell whose worker is gone, unless it is settled or its last try could record its own end."""
    lost_now = under_way(task)
    if record := outcome(task) or next(iter(() if lost_now else _records(task)), None):
        return record
    *lost, last = [folder.name for folder in lost_now] or [task.run_id]
    _forget(task, lost)
    forget_claim(task)
    return bury(task.model_copy(update={"run_id": last}), status, message)


def _next_attempt(task: Task) -> Task:
    _forget(task, [folder.name for folder in under_way(task)])
    tried = len(_committed(task))
    return task.model_copy(update={"run_id": f"{task.run_id}-{tried + 1}"}) if tried else task


def _forget(task: Task, run_ids: list[str]) -> None:
    for run_id in run_ids:
        shutil.rmtree(Layout(task.options.store).staging / run_id, ignore_errors=True)


def _records(task: Task) -> Iterator[RunRecord]:
    """What tries committed, the last one first."""
    folders = _committed(task)
    for folder in sorted(folders, key=lambda folder: (len(folder.name), folder.name), reverse=True):  # -10 after -9
        with suppress(OSError):
            yield RunRecord.model_validate_json((folder / "run.json").read_bytes())


def _committed(task: Task) -> list[Path]:
    cell = task.cell
    first = Layout(task.options.store).run_folder(cell.dataset, cell.protocol, cell.model, cell.key, task.run_id)
    return list(first.parent.glob(f"{first.name}*"))


def _options_here(options: RunOptions, threads: int, cache_dir: str) -> RunOptions:
    if cache_dir:
        folder = Path(os.path.expandvars(cache_dir)).expanduser()
    else:
        folder = options.cache_dir if options.cache_dir.is_dir() else cache.root()
    return options.model_copy(update={"jobs": 1, "threads": threads, "cache_dir": folder})


def for_other_machines(tasks: Sequence[Task]) -> list[Task]:
    """The tasks with absolute paths: other machines have another working folder."""
    return [task.model_copy(update={"options": _absolute(task.options)}) for task in tasks]


def _absolute(options: RunOptions) -> RunOptions:
    names = ("store", "cache_dir", "data_dir", "definitions_dir")
    paths: dict[str, Path | None] = {name: getattr(options, name) for name in names}
    return options.model_copy(update={name: path and path.absolute() for name, path in paths.items()})
