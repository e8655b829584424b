"""The terminal: rich tables on a TTY, wide plain ones in a pipe, JSON for scripts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200


def console(stderr: bool = False) -> Console:
    """Return a console; NO_COLOR is honoured by rich."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    caption: str = "",
    numeric: Sequence[str] = (),
    markdown: bool = False,
) -> None:
    """Print rows; None is an empty cell."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    if markdown and title:
        print(f"**{title}**\n")
    table = Table(
        title=None if markdown or not title else escape(title),
        caption=None if markdown or not caption else escape(caption),
        title_justify="left",
        caption_justify="left",
        box=box.MARKDOWN if markdown else box.SIMPLE_HEAD,
    )
    for column in columns:
        right = column in numeric
        table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    console().print(table)
    if markdown and caption:
        print(f"\n{caption}")


def print_json(value: Any) -> None:
    """Print stable JSON; numbers it has no form for (NaN, infinities) are null."""
    json.dump(_finite(value), sys.stdout, indent=1, default=str, allow_nan=False, ensure_ascii=False)
    sys.stdout.write("\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def warn(message: str) -> None:
    """Print one line on standard error."""
    print(f"warning: {message}", file=sys.stderr)
