"""Showing a command's progress: a bar on a terminal, a line per cell elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from stbench.execution.task import Task
from stbench.store import RunRecord


class Progress:
    """Counts cells, or other things, as they end; keeps the records of cells.

    Parameters
    ----------
    total
        How many are to come.
    quiet
        Show nothing.
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total = total
        self.quiet = quiet
        self.records: list[RunRecord] = []
        self._ended = 0
        self._running: list[str] = []
        self._bar = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=Console(file=sys.stderr))  # this stream, wherever a cell's output goes
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
        self.begin(str(task.cell))

    def ended(self, task: Task, record: RunRecord) -> None:
        """Note how a cell ended."""
        self.records.append(record)
        seconds = sum(record.cost.seconds.values())
        why = f": {record.failure.kind}: {record.failure.message}" if record.failure else ""
        self.end(str(task.cell), f"{record.status} {task.cell} {seconds:.1f} s{why}")

    def begin(self, name: str) -> None:
        """Note that something is under way."""
        self._running.append(name)
        self._update()

    def end(self, name: str, line: str) -> None:
        """Note that it ended, and how."""
        self._running.remove(name)
        self._ended += 1
        self.note(f"[{self._ended}/{self.total}] {line}")
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
            self._bar.update(self._task, completed=self._ended, description=", ".join(self._running))
