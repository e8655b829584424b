"""Processes for cells: forked from a server that has loaded what they need, spawned where there is no fork."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from stbench.execution.slots import names_of_gpus

PRELOAD = [
    "torch",
    "scanpy",
    "sklearn.linear_model",
    "pyarrow.parquet",
    "stbench.execution.worker",
    "stbench.execution.warm",
]
"""Imported once by the fork server, after what the models ask for: a cell then starts in hundredths of a second."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


QUIET_TRACKER = "ignore:resource_tracker"
"""A worker that is killed leaves semaphores, which the system's tracker removes and need not mention to anybody."""


def cores() -> int:
    """Processor cores that this process may use; containers, Slurm and ``taskset`` leave it some of the machine's."""
    import joblib

    return int(joblib.cpu_count())


def process_context(threads: int, imports: Collection[str] = ()) -> BaseContext:
    """How processes start here; a fork server has the libraries `imports`, and these have `threads` threads."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([*imports, *PRELOAD])
        with limited(threads):
            _start_fork_server()
    return context


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let processes that start meanwhile have `threads` threads each.

    It takes the environment, before anything is loaded: numba, which scanpy uses, resets what is set later. This
    process's own numba would refuse to go on with another number, so the environment is put back.
    """
    added = [variable for variable in THREAD_VARIABLES if variable not in os.environ]
    os.environ.update(dict.fromkeys(added, str(threads)))
    try:
        yield
    finally:
        for variable in added:
            os.environ.pop(variable, None)


def limit_numba(threads: int) -> None:
    """Give numba no more threads in a worker than the worker has.

    A forked one has as many as its server; when it starts them it tells OpenMP, and with it torch, how many there are.
    """
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


def _start_fork_server() -> None:
    """Start it deaf to Ctrl-C, which would otherwise reach it among its imports and print their traceback."""
    from multiprocessing import forkserver

    if threading.current_thread() is not threading.main_thread():
        return  # no other thread may set signal handlers; the first cell starts the server
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = f"{warnings},{QUIET_TRACKER}" if warnings else QUIET_TRACKER
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
        os.environ.pop("PYTHONWARNINGS")
        if warnings is not None:
            os.environ["PYTHONWARNINGS"] = warnings


def visible_gpus(context: BaseContext, device: str) -> list[str]:
    """Names of the visible GPUs, as torch counts them in a process of its own; none where they do not matter."""
    if device not in ("auto", "cuda") or sys.platform == "darwin":
        return []
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_count_gpus, args=(send,))  # type: ignore[attr-defined]
    process.start()
    send.close()
    try:
        count = int(receive.recv_bytes())
    except EOFError:  # it died: no GPU that could be used
        count = 0
    process.join()
    return names_of_gpus(count)


def _count_gpus(send: Connection) -> None:
    import torch

    send.send_bytes(str(torch.cuda.device_count()).encode())
