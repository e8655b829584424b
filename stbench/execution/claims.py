"""Which command runs a cell: two that fill one store share the work instead of training everything twice.

A claim is a lock of the operating system below ``.staging``: it ends with the process that holds it, however that ends.
Where the file system has no locks nothing is claimed: cells may then be trained twice, and still count once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stbench.execution.task import Task
from stbench.store import Layout, RunRecord
from stbench.store.finished import finished_run

if TYPE_CHECKING:
    from filelock import BaseFileLock


class Queue:
    """Tasks in their order; those that another command is running come back last.

    Parameters
    ----------
    tasks
        Of one command, on one store.
    layout
        The store.
    fresh
        Run cells whether or not they are finished.
    """

    def __init__(self, tasks: Iterable[Task], layout: Layout, *, fresh: bool) -> None:
        self._waiting = deque(tasks)
        self._layout = layout
        self._fresh = fresh
        self._held: dict[str, BaseFileLock] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> tuple[Task, RunRecord | None] | None:
        """Take the next task, with the record of the run if another command has finished it meanwhile.

        None: there is no more, or others are running all that are left (then `len` says how many).
        """
        for _ in range(len(self._waiting)):
            task = self._waiting.popleft()
            if not self._claim(task.cell.key):
                self._waiting.append(task)
                continue
            done = None if self._fresh else finished_run(self._layout, task.cell)
            if done:
                self.release(task)
            return task, done
        return None

    def put_back(self, task: Task) -> None:
        """Return a task that cannot start now; it comes first again."""
        self.release(task)
        self._waiting.appendleft(task)

    def release(self, task: Task) -> None:
        """Give the claim on a task's cell up."""
        lock = self._held.pop(task.cell.key, None)
        if lock is not None:
            with suppress(OSError):
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release(force=True)

    def _claim(self, key: str) -> bool:
        from filelock import FileLock, Timeout

        if not self._layout.exists():
            return True  # a lock would bring its folder back; that it is gone is found when the cell commits
        lock = FileLock(_path(self._layout, key))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        except (OSError, NotImplementedError):
            return True
        self._held[key] = lock
        return True


def forget_claim(task: Task) -> None:
    """Remove what a process that is gone left of its claim on a task's cell; a claim that is held stays."""
    layout = Layout(task.options.store)
    if _path(layout, task.cell.key).exists():
        queue = Queue([task], layout, fresh=True)
        if queue.next():
            queue.release(task)


def _path(layout: Layout, key: str) -> Path:
    return layout.staging / f"claim-{key}.lock"
