"""The executor for Ray: a task per cell, on a cluster or on this machine; a lost node costs what it was running."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stbench.errors import StbenchError, UsageError
from stbench.execution.attempts import for_other_machines, give_up, outcome, run_here, under_way
from stbench.execution.task import OnEnd, OnStart, RunOptions, Task, threads_of
from stbench.store import RunRecord

TRIES = 4
"""Of a cell whose node or Ray worker was lost; one that dies by itself is not tried again."""

LOOK_EVERY_S = 0.5
REACHED_WITHIN_SECONDS = 5
OBJECT_STORE_BYTES = 100 * 2**20  # cells and records are text


@dataclass
class _Sent:
    task: Task
    tries: int = 1
    started: bool = False


def run_ray(tasks: Sequence[Task], options: RunOptions, on_start: OnStart, on_end: OnEnd) -> None:
    """Run tasks on Ray, `options.jobs` at a time; see `stbench.execution.local.run_local`.

    The store is a folder that all nodes see.

    Raises
    ------
    UsageError
        Ray is not installed, an option is no number, or the cluster cannot be reached.
    DataError
        A node does not see the store.
    """
    ray = _installed()
    cpus, gpus = _cpus(options), _number(options, "gpus")
    with _connected(ray, options, cpus):
        if gpus is None:
            gpus = float(options.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        _warn_if_none_fits(ray, cpus, gpus)
        remote = ray.remote(_run_text).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        cache_dir = options.executor_options.get("cache", "")

        def send(task: Task) -> Any:
            return remote.remote(task.model_dump_json(), max(1, int(cpus)), cache_dir)

        waiting = iter(for_other_machines(tasks))
        sent: dict[Any, _Sent] = {}
        stopping = False
        try:
            while True:
                while not stopping and len(sent) < options.jobs and (task := next(waiting, None)) is not None:
                    sent[send(task)] = _Sent(task)
                if not sent:
                    return
                ready, _ = ray.wait(list(sent), timeout=LOOK_EVERY_S)
                _note_started(sent.values(), on_start)
                for reference in ready:
                    cell = sent.pop(reference)
                    record = _record(ray, reference, cell)
                    if record is None:
                        cell.tries += 1
                        sent[send(cell.task)] = cell
                        continue
                    _start(cell, on_start)
                    on_end(cell.task, record)
                    stopping |= options.fail_fast and record.status != "ok"
        except BaseException:
            _cancel(ray, sent, on_start, on_end)
            raise


def _run_text(text: str, threads: int, cache_dir: str) -> str:
    """Body of a Ray task; what passes through Ray is text."""
    vars(sys.modules["__main__"]).pop("__file__", None)  # else each cell's process imports Ray's worker program first
    return run_here(Task.model_validate_json(text), threads, cache_dir).model_dump_json()


def _record(ray: Any, reference: Any, cell: _Sent) -> RunRecord | None:
    """How a task ended; None if it is to be tried again."""
    try:
        return RunRecord.model_validate_json(ray.get(reference))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, StbenchError):
            raise error.cause from None
        raise
    except ray.exceptions.OutOfMemoryError:
        return give_up(cell.task, "oom", "Ray stopped the cell because its node ran out of memory; try --with cpus=…")
    except ray.exceptions.RayError as error:
        if cell.tries < TRIES:
            return outcome(cell.task)
        why = str(error).splitlines()[0]
        return give_up(cell.task, "failed", f"the node or the Ray worker was lost {cell.tries} times ({why})")


def _note_started(sent: Any, on_start: OnStart) -> None:
    for cell in sent:
        if not cell.started and under_way(cell.task):
            _start(cell, on_start)


def _start(cell: _Sent, on_start: OnStart) -> None:
    if not cell.started:
        cell.started = True
        on_start(cell.task)


def _cancel(ray: Any, sent: dict[Any, _Sent], on_start: OnStart, on_end: OnEnd) -> None:
    """Kill what runs, and record it; what had not started is left for the next time."""
    if not sent:
        return
    for reference in sent:
        ray.cancel(reference, force=True)  # the cell's process ends with its Ray worker
    ray.wait(list(sent), num_returns=len(sent), timeout=10)
    for cell in sent.values():
        if under_way(cell.task) or outcome(cell.task):
            record = give_up(cell.task, "interrupted", "the command was interrupted")
            _start(cell, on_start)
            on_end(cell.task, record)


def _installed() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a benchmark reports to nobody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's coming default; the present one warns
    try:
        import ray
    except ImportError as error:
        raise UsageError("--executor ray needs Ray: pip install 'stbench[ray]'") from error
    return ray


@contextmanager
def _connected(ray: Any, options: RunOptions, cpus: float) -> Iterator[None]:
    """Join the cluster named, or start one on this machine that ends with the command."""
    address = options.executor_options.get("address") or os.environ.get("RAY_ADDRESS") or "local"
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address == "local":
        quiet |= {"num_cpus": max(1, round(cpus * options.jobs)), "include_dashboard": False}
        quiet |= {"object_store_memory": OBJECT_STORE_BYTES}
    try:
        _refuse_unreachable(address)
        ray.init(address=address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise UsageError(f"no Ray cluster at {address!r} ({why}); start one with `ray start --head`") from error
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_unreachable(address: str) -> None:
    """Raise an OSError if nobody listens at HOST:PORT: Ray itself would go on trying for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), REACHED_WITHIN_SECONDS).close()


def _cpus(options: RunOptions) -> float:
    given = _number(options, "cpus")
    if given is not None:
        return given
    address = options.executor_options.get("address") or os.environ.get("RAY_ADDRESS") or "local"
    return float(threads_of(options) if address == "local" else options.threads or 1)


def _number(options: RunOptions, name: str) -> float | None:
    text = options.executor_options.get(name)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf") or (number > 1 and number % 1):
        raise UsageError(f"--with {name}={text} is neither a whole number nor a share of one")
    return number


def _warn_if_none_fits(ray: Any, cpus: float, gpus: float) -> None:
    """Say that cells will wait: a cluster that grows may yet get a node that is large enough."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        largest = max((node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
        print(
            f"note: no node has {cpus:g} CPUs and {gpus:g} GPUs, the largest has {largest[0]:g} and {largest[1]:g}; "
            "cells wait for one (--with cpus=…, --with gpus=…)",
            file=sys.stderr,
        )
