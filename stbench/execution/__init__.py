"""Running cells: the worker, the executors, and the record of what happened."""

from __future__ import annotations

from stbench.execution.task import RunOptions, Task
from stbench.execution.worker import run_cell

__all__ = ["RunOptions", "Task", "run_cell"]
