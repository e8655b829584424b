"""The cells of a command as they run: on a terminal a line for each with its bar, and what is left in all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stbench.execution.progress import Progress
from stbench.execution.step import Step, read_step
from stbench.execution.task import Task
from stbench.execution.time_left import Durations, in_words
from stbench.store import Layout, RunRecord

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

BAR_WIDTH = 24


class CellProgress(Progress):
    """Follows tasks, and keeps the records of those that ended.

    Parameters
    ----------
    tasks
        All that are to run.
    """

    def __init__(self, tasks: Sequence[Task], quiet: bool = False) -> None:
        self.records: list[RunRecord] = []
        self._waiting = {task.cell.key: task.cell for task in tasks}
        self._started: dict[str, tuple[Task, float]] = {}
        self._durations = Durations()
        super().__init__(len(tasks), quiet)

    def started(self, task: Task) -> None:
        """Note that a cell runs."""
        self._waiting.pop(task.cell.key, None)
        again = task.cell.key in self._started  # a second attempt
        self._started[task.cell.key] = task, time.monotonic()
        if not again:
            self.begin(str(task.cell))

    def ended(self, task: Task, record: RunRecord) -> None:
        """Note how a cell ended."""
        _, since = self._started.pop(task.cell.key)
        elsewhere = " by another command" if record.run_id != task.run_id else ""
        if record.status == "ok" and not elsewhere:
            self._durations.add(task.cell, time.monotonic() - since)
        self.records.append(record)
        seconds = sum(record.cost.seconds.values())
        why = f": {record.failure.kind}: {record.failure.message}" if record.failure else ""
        self.end(str(task.cell), f"{record.status} {task.cell} {seconds:.1f} s{elsewhere}{why}")

    def shown(self) -> RenderableType:
        """A row per running cell, and one line about all."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        rows = Table.grid(padding=(0, 1))
        running = list(self._started.values())
        for task, since in running:
            step = read_step(_work_folder(task))
            total = step.total or None  # None: a bar that only says that something goes on
            bar = ProgressBar(total=total, completed=step.done, width=BAR_WIDTH, pulse=total is None)
            rows.add_row(Text(str(task.cell)), bar, Text(_in_words(step)), in_words(now - since))
        return Group(rows, self._line(running, now))

    def _line(self, running: list[tuple[Task, float]], now: float) -> Text:
        from rich.text import Text

        bad = sum(record.status != "ok" for record in list(self.records))
        waiting = list(self._waiting.values())
        parts = [f"{len(running)} running", f"{self.n_ended - bad} done", f"{bad} failed", f"{len(waiting)} to go"]
        left = self._durations.left(waiting, [(task.cell, now - since) for task, since in running], len(running))
        return Text(", ".join(parts) + (f"; about {in_words(left)} left" if left else ""))


def _work_folder(task: Task) -> Path:
    return Layout(task.options.store).staging / task.run_id / "work"


def _in_words(step: Step) -> str:
    counted = f" {step.what} {step.done}/{step.total}" if step.total else ""
    return (step.stage or "starting") + counted
