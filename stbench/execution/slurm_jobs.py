"""What was submitted to Slurm and how it stands there: a folder per array job in the store, and ``squeue``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stbench.execution.task import Task
from stbench.store import Layout

PREFIX = "stbench-"
TASKS, SUBMITTED = "tasks.jsonl", "submitted"
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT"
}  # fmt: skip
"""States that a job does not leave by itself; one that is in no state has ended long ago."""

PATIENCE_S = 60


@dataclass(frozen=True)
class Submission:
    """An array job, named in Slurm like its folder; the index in the array is the line in its file of tasks."""

    folder: Path
    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """Name of the job."""
        return self.folder.name

    @classmethod
    def new(cls, layout: Layout, tasks: Sequence[Task]) -> Submission:
        """Write down what is about to be submitted."""
        folder = layout.submitted / f"{PREFIX}{tasks[0].run_id}"
        folder.mkdir(parents=True)
        (folder / TASKS).write_text("".join(f"{task.model_dump_json()}\n" for task in tasks), encoding="utf-8")
        return cls(folder, tuple(tasks))

    @classmethod
    def all_of(cls, layout: Layout) -> list[Submission]:
        """Those of a store that have not been seen to their end."""
        found = []
        for mark in sorted(layout.submitted.glob(f"{PREFIX}*/{SUBMITTED}")):
            try:
                lines = (mark.parent / TASKS).read_text(encoding="utf-8").splitlines()
            except OSError:  # its command has just seen it to its end
                continue
            found.append(cls(mark.parent, tuple(Task.model_validate_json(line) for line in lines)))
        return found

    def submitted(self) -> None:
        """Note that Slurm has it."""
        (self.folder / SUBMITTED).touch()

    def states(self) -> dict[int, str] | None:
        """Slurm's state of each task that it still knows; None if Slurm does not answer."""
        command = ["squeue", "--noheader", "--array", "--states=all", f"--name={self.name}", "--format=%K|%T"]
        try:
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=PATIENCE_S, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        rows = [line.split("|") for line in done.stdout.split()]
        return {int(index) if index.isdecimal() else 0: state for index, state in rows}  # N/A: a job of one task

    def cancel_pending(self) -> None:
        """Take what has not started out of the queue."""
        command = ["scancel", "--state=PENDING", f"--name={self.name}"]
        subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)  # noqa: S603

    def last_words(self, index: int) -> str:
        """The last line that a task's job said, from outside the cell's own log."""
        for path in sorted(self.folder.glob(f"*_{index}_0_log.err")) or sorted(self.folder.glob("*_0_log.err")):
            lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                return lines[-1]
        return ""

    def forget(self) -> None:
        """Remove the folder: all is in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)


def alive(state: str | None) -> bool:
    """Whether a job in this state may still do something."""
    return state is not None and state not in ENDED
