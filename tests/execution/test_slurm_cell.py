"""What a Slurm job runs, under submitit's executor for one machine: no Slurm needed."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import fitting, wait_for

from stbench.execution.slurm_cell import CellJob
from stbench.execution.slurm_jobs import TASKS, Submission
from stbench.execution.task import Task
from stbench.execution.worker import new_run_id
from stbench.store import Layout, Store
from stbench.store.verify import verify

TOY = Path(__file__).parents[1] / "toy"

submitit = pytest.importorskip("submitit", reason="submitit is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="submitit is for POSIX")


@pytest.fixture
def submit(toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Submit cells; gives the jobs and what was written down of them."""
    monkeypatch.setenv("PYTHONPATH", str(TOY))

    def submit(*cells: Any) -> tuple[list[Any], Submission]:
        layout = Layout(toys.store).create()
        options = toys.options.model_copy(update={"threads": 1})
        submission = Submission.new(layout, [Task(cell=c, options=options, run_id=new_run_id()) for c in cells])
        executor = submitit.LocalExecutor(tmp_path / "jobs")
        executor.update_parameters(timeout_min=5)
        indexes = range(len(cells))
        return executor.map_array(CellJob(), [str(submission.folder / TASKS)] * len(cells), indexes), submission

    return submit


def test_jobs_run_their_cells(toys: Any, submit: Any) -> None:
    jobs, submission = submit(toys.cell("mean"), toys.cell("toy-fit-error"))
    for job in jobs:
        job.result()
    submission.forget()

    assert Counter(r.status for r in Store(toys.store).records.values()) == {"ok": 1, "failed": 1}
    found = verify(toys.store)
    assert (found.problems, found.debris) == ([], [])


def test_a_preempted_job_starts_its_cell_again(toys: Any, submit: Any) -> None:
    cell = toys.cell("toy-sleeps", settings={"toy-sleeps": {"seconds": 3.0}})
    (job,), _ = submit(cell)
    wait_for(lambda: fitting(toys.store))
    (process,) = psutil.Process(int(job.job_id)).children()
    process.send_signal(signal.SIGUSR2)
    job.result()

    assert Counter(r.status for r in Store(toys.store).records.values()) == {"interrupted": 1, "ok": 1}
    assert verify(toys.store).problems == []


def test_what_was_submitted_is_read_back(toys: Any) -> None:
    layout = Layout(toys.store).create()
    tasks = [Task(cell=toys.cell("mean", fold), options=toys.options, run_id=new_run_id()) for fold in ("P1", "P2")]
    submission = Submission.new(layout, tasks)
    assert Submission.all_of(layout) == []  # nobody knows yet whether Slurm took it

    submission.submitted()
    assert Submission.all_of(layout) == [submission]

    submission.forget()
    assert Submission.all_of(layout) == []
