"""Waiting for what another process does: tests that interrupt a command have to know how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> None:
    """Wait until a condition holds; fail if it does not in time."""
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, "waited in vain"
        time.sleep(0.02)


def fitting(store: Path) -> list[str]:
    """Ids of the runs in a store that are in their fit."""
    found = []
    for stage in (store / ".staging").glob("*/work/stage"):
        try:
            if stage.read_text() == "fit":
                found.append(stage.parents[1].name)
        except OSError:  # it has just ended
            continue
    return sorted(found)
