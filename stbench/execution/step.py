"""How far a running cell is: the worker writes it into its staging folder, the command's display reads it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECONDS_BETWEEN = 0.25
"""A model may say how far it is as often as it likes; the file is written a few times per second."""

STAGE, COUNTED = "stage", "counted"
"""Files in the working folder: the stage's name, and what the model counts in it (``epoch 3 200``)."""


@dataclass(frozen=True)
class Step:
    """A stage, and how far it is: the third of 200 epochs; `total` is 0 where nothing is counted."""

    stage: str = ""
    what: str = ""
    done: int = 0
    total: int = 0


class StepFile:
    """The `progress` of a model's context, below the run's working folder."""

    def __init__(self, work: Path) -> None:
        self.path = work / COUNTED
        self._written = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Note how far it is, unless that was noted a moment ago."""
        now = time.monotonic()
        if now - self._written < SECONDS_BETWEEN and done < total:
            return
        self._written = now
        with suppress(OSError):  # a full disk is not found out here
            self.path.write_text(f"{what} {done} {total}", encoding="utf-8")


def read_step(work: Path) -> Step:
    """How far the cell with this working folder is, as far as can be told."""
    try:
        stage = (work / STAGE).read_text(encoding="utf-8")
        began = (work / STAGE).stat().st_mtime_ns
    except (OSError, UnicodeDecodeError):
        return Step()
    try:
        if (work / COUNTED).stat().st_mtime_ns < began:
            return Step(stage)  # of the stage before
        what, done, total = (work / COUNTED).read_text(encoding="utf-8").rsplit(" ", 2)
        return Step(stage, what, int(done), int(total))
    except (OSError, ValueError):
        return Step(stage)
