"""What a Slurm job runs: one cell. submitit pickles this class and two plain values, nothing of ours."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from stbench.execution.attempts import run_here
from stbench.execution.task import Task


class CellJob:
    """Runs one line of a file of tasks; a job that is preempted starts its cell again."""

    def __call__(self, tasks: str, index: int) -> None:
        """Run the cell, unless an earlier start of the job has settled it."""
        line = Path(tasks).read_text(encoding="utf-8").splitlines()[index]
        task = Task.model_validate_json(line)
        signal.signal(signal.SIGTERM, _stop)
        run_here(task, task.options.threads or 1, task.options.executor_options.get("cache", ""))

    def checkpoint(self, tasks: str, index: int) -> Any:
        """What submitit puts back into the queue."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, tasks, index)


def _stop(number: int, frame: object) -> None:
    """Stop the cell as interrupted when Slurm cancels the job or takes its node.

    Slurm signals the cell's process as well: waiting for what becomes of it would record a crash.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the record short
    sys.exit(f"stopped by Slurm with signal {number}")
