"""What a worker needs beside the cell: where things are and on what to run. None of it changes the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from stbench.execution.processes import cores
from stbench.matrix import Cell, Resources
from stbench.store import RunRecord


class RunOptions(BaseModel):
    """Options of a command. What an executor decides for one cell (its device, threads, batches) it sets in a copy."""

    model_config = ConfigDict(frozen=True)

    store: Path
    cache_dir: Path
    data_dir: Path | None = None
    definitions_dir: Path | None = None
    """Folder of imported datasets' definitions; None: the worker's own environment says."""
    device: str = "auto"
    """``cuda`` is every GPU that is visible, ``auto`` these if there are any."""
    jobs: int = 1
    """Cells at a time on each device."""
    threads: int | None = None
    """CPU threads of one worker; None: the cores shared among the jobs."""
    keep: frozenset[str] = frozenset()
    timeout_s: float | None = None
    compile: bool = False
    """Whether networks are compiled for training."""
    fail_fast: bool = False
    fresh: bool = False
    """Run cells that are finished, too."""
    batch_share: float = 1.0
    """Share of their usual batches that models predict and embed at a time: smaller after a cell ran out of memory."""
    executor_options: dict[str, str] = {}
    """What only the executor knows of, as ``--with`` gave it: a partition, a share of a GPU."""


def threads_of(options: RunOptions) -> int:
    """CPU threads of one worker: the cores at hand shared among the jobs, unless stated."""
    return options.threads or max(1, cores() // options.jobs)


class Task(BaseModel):
    """A cell file: ``python -m stbench.execution.worker TASK.json`` runs it."""

    model_config = ConfigDict(frozen=True)

    cell: Cell
    options: RunOptions
    run_id: str
    shares_fit: bool = False
    """Another cell of the command needs the same fitted model."""
    resources: Resources = Resources()
    """What the cell needs, where a suite says so."""

    @property
    def timeout_s(self) -> float | None:
        """Time limit in seconds: the cell's own, else the command's."""
        return self.resources.timeout_s or self.options.timeout_s


OnStart = Callable[[Task], None]
OnEnd = Callable[[Task, RunRecord], None]
"""How an executor tells its caller that a cell starts and has ended."""
