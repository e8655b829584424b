"""Showing a command's progress: a bar on a terminal, a line per cell elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from stbench.execution.task import Task
from stbench.store import RunRecord


class Progress:
    """Counts cells as they end and keeps their records.

    Parameters
    ----------
    total
        Cells to come.
    quiet
        Show nothing.
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total = total
        self.quiet = quiet
        self.records: list[RunRecord] = []
        self._running: list[str] = []
        self._bar = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("starting", total=total)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def started(self, task: Task) -> None:
        """Note that a cell runs."""
        self._running.append(str(task.cell))
        self._update()

    def ended(self, task: Task, record: RunRecord) -> None:
        """Note how a cell ended."""
        self._running.remove(str(task.cell))
        self.records.append(record)
        seconds = sum(record.cost.seconds.values())
        why = f": {record.failure.kind}: {record.failure.message}" if record.failure else ""
        self.note(f"[{len(self.records)}/{self.total}] {record.status} {task.cell} {seconds:.1f} s{why}")
        self._update()

    def note(self, line: str) -> None:
        """Show one line."""
        if self.quiet:
            return
        if self._bar:
            self._bar.console.print(line, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _update(self) -> None:
        if self._bar:
            self._bar.update(self._task, completed=len(self.records), description=", ".join(self._running))
