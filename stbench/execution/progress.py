"""Showing a command's progress: a bar on a terminal, a line per thing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import RenderableType


class Progress:
    """Counts things as they end, and says what ended.

    Parameters
    ----------
    total
        How many are to come.
    quiet
        Show nothing.
    """

    def __init__(self, total: int, quiet: bool = False) -> None:
        self.total = total
        self.quiet = quiet
        self.n_ended = 0
        self._running: list[str] = []
        self._live = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(file=sys.stderr)  # this stream, wherever a cell's output goes
            self._live = Live(console=console, get_renderable=self.shown, transient=True)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def begin(self, name: str) -> None:
        """Note that something is under way."""
        self._running.append(name)

    def end(self, name: str, line: str) -> None:
        """Note that it ended, and how."""
        self._running.remove(name)
        self.n_ended += 1
        self.note(f"[{self.n_ended}/{self.total}] {line}")

    def note(self, line: str) -> None:
        """Show one line."""
        if self.quiet:
            return
        if self._live:
            self._live.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def shown(self) -> RenderableType:
        """What a terminal shows now; asked some times per second, from another thread."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        row = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=self.total, completed=self.n_ended, width=40)
        row.add_row(bar, f"{self.n_ended}/{self.total}", Text(", ".join(self._running)))
        return row
