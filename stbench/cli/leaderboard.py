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
    by: Annotated[
        str | None, typer.Option(help="Break down by gene, slide, patient, region, technology, organ or spot_um.")
    ] = None,
    select: Annotated[
        str | None, typer.Option(help="validation: of a model's parameter sets, show the best on validation.")
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="Published numbers beside reproduced ones.")] = False,
    store: StoreOption = DEFAULT_STORE,
    output: Annotated[TableFormat, typer.Option("--format")] = TableFormat.TABLE,
) -> None:
    """Rank the models of a store: mean over patients, t interval, ties, coverage, cost, badges."""
    import sys

    from stbench.datasets.transfer import ON
    from stbench.registry import discover
    from stbench.report.headlines import headlines
    from stbench.report.leaderboard import leaderboard as compute
    from stbench.report.leaderboard_table import BESIDE, print_breakdown, print_leaderboard
    from stbench.report.scores import read_scores
    from stbench.report.selection import by_validation
    from stbench.store import Store

    warn_of_broken_plugins()
    registry = discover()
    for kind, names in (("dataset", dataset), ("protocol", protocol), ("metric", [metric] if metric else None)):
        for name in names or ():
            for one in name.split(ON):
                registry.get(kind, one)
    decides = selection_metric(select, metric)
    if by:
        from stbench.report.breakdown import breakdown

        opened = Store(store)
        scores = read_scores(opened, registry, dataset, protocol)
        scores = by_validation(scores, decides) if decides else scores
        print_breakdown(breakdown(opened, scores, _by(by), metric or "pcc"), by, scores.notes, output.value)
        return
    listed = output in (TableFormat.CSV, TableFormat.JSON)
    beside = None if listed else [*BESIDE, *([metric] if metric else [])]
    board = compute(Store(store), registry, dataset, protocol, [metric] if metric and listed else None, decides, beside)
    protocols = {row["protocol"] for row in board.rows}
    sorted_by = dict.fromkeys(protocols, metric) if metric else headlines(registry, protocols)
    print_leaderboard(board, sorted_by, output.value, published)
    if metric and not any(row["metric"] == metric for row in board.rows) and Store(store).finished():
        remedy = f"`stbench score --run all --metrics {metric}` computes it, without training"
        print(f"no run here has {metric}; {remedy}", file=sys.stderr)
    elif not board.rows:
        print(f"no finished runs in {store}; `stbench run -m mean -m ridge -d simulated` makes some", file=sys.stderr)


def selection_metric(select: str | None, metric: str | None) -> str | None:
    """Metric by which ``--select validation`` chooses; None if nothing is selected."""
    from stbench.errors import UsageError

    if select is None:
        return None
    if select != "validation":
        raise UsageError(f"--select {select!r}: only `validation` may choose; nothing is chosen by test scores")
    return metric or "pcc"


def _by(text: str) -> str:
    from stbench.errors import UsageError
    from stbench.report.breakdown import BY

    if text not in BY:
        raise UsageError(f"--by {text!r} is none of {', '.join(BY)}")
    return text
