"""Who writes a run in staging: what tells a writer under way from one that died, as far as this machine can know."""

from __future__ import annotations

import json
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

SIGNATURE = Path("work") / "writer.json"
"""In a run's staging folder; what lies in ``work`` is not committed."""

State = Literal["alive", "dead", "unknown"]


def sign(folder: Path) -> None:
    """Leave this process's name in a staging folder; where that fails, age alone will tell."""
    with suppress(OSError):
        (folder / SIGNATURE).parent.mkdir(exist_ok=True)
        (folder / SIGNATURE).write_text(json.dumps(_process(os.getpid())))


def state_of(folder: Path) -> State:
    """Whether the writer of a staging folder lives; unknown if it is on another machine or left no name."""
    try:
        stated = json.loads((folder / SIGNATURE).read_text())
        here = stated["machine"] == _machine()
        now = _process(int(stated["pid"])) if here else {}
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
    if not here:
        return "unknown"
    return "alive" if now == stated else "dead"


def _process(pid: int) -> dict[str, Any]:
    """A process by machine, number and time of start: numbers are given again."""
    import psutil

    try:
        started: float | None = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started = None
    return {"machine": _machine(), "pid": pid, "started": started}


def _machine() -> str:
    """Name, boot and process namespace: a container has numbers of its own, a reboot ends all."""
    boot = namespace = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    return " ".join(filter(None, (platform.node(), boot, namespace)))
