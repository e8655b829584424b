"""The executor for Slurm: array jobs through submitit. The command waits for them; without it they go on."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stbench.errors import UsageError
from stbench.execution.attempts import for_other_machines, give_up, outcome, under_way
from stbench.execution.slurm_cell import CellJob
from stbench.execution.slurm_jobs import Submission, alive
from stbench.execution.task import OnEnd, OnStart, RunOptions, Task
from stbench.store import Layout, RunRecord
from stbench.store.record import Status

LARGEST_ARRAY = 1000
"""Slurm's default limit on the tasks of an array job; what goes beyond it waits for the array before."""

LOOK_EVERY_S = 2.0
RECORD_MAY_LAG_S = 10.0
"""How long a shared file system may take to show what an ended job has committed."""

SPARE_MINUTES = 10
"""What Slurm grants a job beyond the cell's own time limit: to start, and to end by itself."""

OURS = ("cpus", "gpus", "cache")
ENDINGS: dict[str, Status] = {
    "OUT_OF_MEMORY": "oom",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "CANCELLED": "interrupted",
    "PREEMPTED": "interrupted",
}


@dataclass
class _Cell:
    submission: Submission
    index: int
    started: bool = False
    ended_since: float | None = None

    @property
    def task(self) -> Task:
        return self.submission.tasks[self.index]


def run_slurm(tasks: Sequence[Task], options: RunOptions, on_start: OnStart, on_end: OnEnd) -> None:
    """Submit tasks, `options.jobs` of them to run at a time, and wait; see `stbench.execution.local.run_local`.

    Cells that an earlier command submitted and that are still in the queue are waited for, not submitted again.

    Raises
    ------
    UsageError
        No Slurm or no submitit here, no time limit given, or Slurm refuses the jobs.
    KeyboardInterrupt
        The jobs go on.
    """
    submitit = _installed()
    parameters = _parameters(options)
    layout = Layout(options.store.absolute())
    cells = _adopted(layout, {task.cell.key for task in tasks})
    adopted = {cell.task.cell.key for cell in cells}
    options = options.model_copy(update={"threads": parameters["cpus_per_task"]})
    mine = [
        task.model_copy(update={"options": options, "shares_fit": False})  # the command may leave before its jobs end
        for task in tasks
        if task.cell.key not in adopted
    ]
    cells += _submitted(submitit, layout, for_other_machines(mine), parameters)
    submissions = list({cell.submission.name: cell.submission for cell in cells}.values())
    try:
        _wait(cells, options, on_start, on_end)
    except KeyboardInterrupt:
        _say_how_to_go_on(submissions)
        raise
    for submission in submissions:
        _settle(submission)


def _wait(cells: list[_Cell], options: RunOptions, on_start: OnStart, on_end: OnEnd) -> None:
    waiting, stopping = list(cells), False
    while waiting:
        for cell, state in _changed(waiting):
            if alive(state):
                _start(cell, on_start)
                continue
            record = outcome(cell.task)
            if record is None and stopping and not cell.started:
                waiting.remove(cell)  # taken out of the queue after a failure
                continue
            record = record or _died(cell, state)
            if record is None:
                continue
            waiting.remove(cell)
            _start(cell, on_start)
            on_end(cell.task, record)
            if options.fail_fast and record.status != "ok" and not stopping:
                stopping = True
                for submission in {c.submission.name: c.submission for c in waiting}.values():
                    submission.cancel_pending()
        if waiting:
            time.sleep(LOOK_EVERY_S)


def _changed(waiting: Sequence[_Cell]) -> Iterator[tuple[_Cell, str | None]]:
    """Cells that run or have ended, with Slurm's state of their jobs."""
    submissions = {cell.submission.name: cell.submission for cell in waiting}
    states = {name: submission.states() for name, submission in submissions.items()}
    for cell in list(waiting):
        known = states[cell.submission.name]
        if known is None:
            continue  # Slurm does not answer: the jobs may be well
        state = known.get(cell.index)
        if alive(state):
            cell.ended_since = None
        if state == "RUNNING" or not alive(state):
            yield cell, state


def _start(cell: _Cell, on_start: OnStart) -> None:
    if not cell.started:
        cell.started = True
        on_start(cell.task)


def _died(cell: _Cell, state: str | None) -> RunRecord | None:
    """Record a job that ended without a run; None while its record may still appear."""
    now = time.monotonic()
    cell.ended_since = cell.ended_since or now
    if now - cell.ended_since < RECORD_MAY_LAG_S:
        return None
    return _give_up(cell.submission, cell.index, state)


def _give_up(submission: Submission, index: int, state: str | None) -> RunRecord:
    said = submission.last_words(index)
    message = f"Slurm ended the job in state {state or 'unknown'}" + (f"; it last said: {said}" if said else "")
    return give_up(submission.tasks[index], ENDINGS.get(state or "", "failed"), message)


def _adopted(layout: Layout, wanted: set[str]) -> list[_Cell]:
    """Cells wanted that are in the queue; what earlier commands left and has ended is settled on the way."""
    cells: list[_Cell] = []
    for submission in Submission.all_of(layout):
        states = submission.states()
        if states is None:
            raise UsageError("Slurm does not answer (squeue), and the store has jobs there; try again when it does")
        here = [index for index in range(len(submission.tasks)) if alive(states.get(index))]
        cells += [_Cell(submission, i) for i in here if submission.tasks[i].cell.key in wanted]
        if not here:
            _settle(submission)
    return cells


def _settle(submission: Submission) -> None:
    """Record what no command was there to record, if all jobs have ended, and remove the folder."""
    states = submission.states()
    if states is None or any(map(alive, states.values())):
        return
    for index, task in enumerate(submission.tasks):
        started = states.get(index) not in (None, "CANCELLED") or under_way(task)
        if started and outcome(task) is None:
            _give_up(submission, index, states.get(index))
    submission.forget()


def _submitted(submitit: Any, layout: Layout, tasks: Sequence[Task], parameters: dict[str, Any]) -> list[_Cell]:
    cells: list[_Cell] = []
    before: dict[str, str] = {}
    for start in range(0, len(tasks), LARGEST_ARRAY):
        submission = Submission.new(layout, tasks[start : start + LARGEST_ARRAY])
        executor = submitit.SlurmExecutor(submission.folder)
        indexes = range(len(submission.tasks))
        try:
            executor.update_parameters(**parameters, job_name=submission.name, **before)
            paths = [str(submission.folder / "tasks.jsonl")] * len(indexes)
            jobs = executor.map_array(CellJob(), paths, indexes)
        except Exception as error:  # submitit raises its own kinds, and the command's output
            submission.forget()
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise UsageError(f"Slurm does not take the jobs: {lines[-1]}") from error
        submission.submitted()
        before = {"dependency": f"afterany:{jobs[0].job_id.split('_')[0]}"}
        cells += [_Cell(submission, index) for index in indexes]
    return cells


def _parameters(options: RunOptions) -> dict[str, Any]:
    """What submitit writes into the batch script."""
    given = {name.replace("-", "_"): value for name, value in options.executor_options.items()}
    if options.timeout_s is None and "time" not in given:
        raise UsageError("--executor slurm needs --timeout, such as --timeout 4h: the queue asks how long a cell takes")
    more = {name: True if value == "true" else value for name, value in given.items() if name not in OURS}
    parameters: dict[str, Any] = {
        "cpus_per_task": _whole(given, "cpus", options.threads or 1),
        "array_parallelism": options.jobs,
        "additional_parameters": more,
    }
    if options.timeout_s is not None:
        parameters["time"] = math.ceil(options.timeout_s / 60) + SPARE_MINUTES
    if "gpus" in given:
        parameters["gpus_per_node"] = _whole(given, "gpus", 0)
    return parameters


def _whole(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(f"--with {name}={text} is not a whole number, which Slurm wants")
    return int(text)


def _installed() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UsageError("--executor slurm needs submitit: pip install 'stbench[slurm]'") from error
    missing = [command for command in ("sbatch", "squeue", "srun") if shutil.which(command) is None]
    if missing:
        raise UsageError(f"no Slurm here ({', '.join(missing)} not found); run this on a login node of the cluster")
    return submitit


def _say_how_to_go_on(submissions: Sequence[Submission]) -> None:
    for submission in submissions:
        print(
            f"the jobs go on without this command; see them with `squeue --name={submission.name}`, "
            f"cancel them with `scancel --name={submission.name}`; the same command waits for them again",
            file=sys.stderr,
        )
