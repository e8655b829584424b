"""How long a command still takes, by what its finished cells took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import mean

from stbench.matrix import Cell


class Durations:
    """What cells took: of the same model on the same data set if there are any, else of the model, else of any."""

    def __init__(self) -> None:
        self._took: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def add(self, cell: Cell, seconds: float) -> None:
        """Note what a finished cell took."""
        for kind in _kinds(cell):
            self._took[kind].append(seconds)

    def expected(self, cell: Cell) -> float | None:
        """Seconds that a cell is expected to take; None if nothing has finished."""
        return next((mean(self._took[kind]) for kind in _kinds(cell) if kind in self._took), None)

    def left(self, waiting: Iterable[Cell], running: Iterable[tuple[Cell, float]], places: int) -> int | None:
        """Whole seconds until all are done, with so many at a time.

        Parameters
        ----------
        running
            Cells with the seconds they have run.
        """
        if not self._took:
            return None
        started = [max(0.0, (self.expected(cell) or 0.0) - seconds) for cell, seconds in running]
        work = sum(started) + sum(self.expected(cell) or 0.0 for cell in waiting)
        return round(max([work / max(1, places), *started]))


def _kinds(cell: Cell) -> tuple[tuple[str, ...], ...]:
    return (cell.model, cell.dataset, cell.protocol), (cell.model,), ()


def in_words(seconds: float) -> str:
    """Seconds as people say them: 40 s, 3 min, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
