"""``stbench leaderboard``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, StoreOption, warn_of_broken_plugins


class TableFormat(StrEnum):
    """Output formats of the leaderboard."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def leaderboard(
    dataset: Annotated[list[str] | None, typer.Option("--dataset", "-d", help="Only this dataset; repeatable.")] = None,
    protocol: Annotated[
        list[str] | None, typer.Option("--protocol", "-p", help="Only this protocol; repeatable.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Metric to sort by; csv and json show only it.")] = None,
    store: StoreOption = DEFAULT_STORE,
    output: Annotated[TableFormat, typer.Option("--format")] = TableFormat.TABLE,
) -> None:
    """Rank the models of a store: mean over patients, t interval, coverage, cost, badges."""
    import sys

    from stbench.registry import discover
    from stbench.report.leaderboard import leaderboard as compute
    from stbench.report.leaderboard_table import print_leaderboard
    from stbench.store import Store

    warn_of_broken_plugins()
    registry = discover()
    for kind, names in (("dataset", dataset), ("protocol", protocol), ("metric", [metric] if metric else None)):
        for name in names or ():
            registry.get(kind, name)
    listed = output in (TableFormat.CSV, TableFormat.JSON)
    board = compute(Store(store), registry, dataset, protocol, [metric] if metric and listed else None)
    headline = {
        name: metric or registry.get("protocol", name).spec.load().headline
        for name in {row["protocol"] for row in board.rows}
        if metric or name in registry.names("protocol")
    }
    print_leaderboard(board, headline, output.value)
    if not board.rows:
        print(f"no finished runs in {store}; `stbench run -m mean -m ridge -d simulated` makes some", file=sys.stderr)
