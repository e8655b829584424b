"""Smaller batches for a cell that ran out of memory: what a model asks of its context, and what the record says."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

ASKED = "batch"
"""File in the working folder: the model sizes batches by its context, so a second attempt can make them smaller."""

SECOND_ATTEMPT = 0.5
"""Share of its batches that a cell computes at a time after it ran out of memory."""


class BatchSize:
    """The `batch` of a model's context: scales the batches of predicting and embedding, which do not change numbers.

    Attributes
    ----------
    used
        Share of the usual batch; None until the model asks.
    """

    def __init__(self, share: float, work: Path) -> None:
        self.share = share
        self.work = work
        self.used: float | None = None

    def __call__(self, usual: int) -> int:
        """Size of a batch that usually has so many."""
        if self.used is None:
            self.used = self.share
            with suppress(OSError):  # a worker that is killed leaves this to its parent
                (self.work / ASKED).touch()
        return max(1, int(usual * self.share))
