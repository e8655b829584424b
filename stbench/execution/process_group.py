"""Workers and all they started: a plugin's own children must end when the worker does, however it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import wait


def lead_group() -> None:
    """Give this process a session of its own: Ctrl-C does not reach it, and its children are its group."""
    if os.name == "posix":
        with suppress(PermissionError):  # it leads one already
            os.setsid()


def end_group(pid: int) -> None:
    """Kill a worker, its process group, and children that left the group; what is gone already is fine."""
    import psutil

    children: Sequence[psutil.Process] = ()
    with suppress(psutil.Error):  # of a dead worker they can no longer be told from others
        children = psutil.Process(pid).children(recursive=True)
    for child in children:
        with suppress(psutil.Error):
            child.kill()
    end_leftovers(pid)  # last: this process may be of the group
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)  # Windows: SIGTERM is TerminateProcess


def end_leftovers(pid: int) -> None:
    """Kill what a worker that has ended left of its group."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def end_with_parent() -> None:
    """Watch the parent from a thread; when it is gone, end this process and its group."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        try:
            end_group(os.getpid())
        finally:
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
