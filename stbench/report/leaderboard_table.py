"""Printing a leaderboard."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from stbench.report.console import print_json, print_table
from stbench.report.leaderboard import Leaderboard
from stbench.report.variants import variant_key, variant_name
from stbench.stats import mean_ranks

TIES = "≈ not told from the best (paired t test over the units, Holm)"
TIED_BY_ONE = "≈ not told from the best: one unit tells nothing apart"
BESIDE = ("pcc", "r2", "mse", "pcc_spot")
"""Metrics shown beside the one the table is sorted by."""


def print_leaderboard(
    board: Leaderboard, sorted_by: Mapping[str, str | None], form: str, published: bool = False
) -> None:
    """Print as table, markdown, csv or json.

    Parameters
    ----------
    sorted_by
        The metric each protocol's table is sorted by.
    published
        Show published numbers, where models state some.
    """
    for note in board.notes:
        print(f"note: {note}", file=sys.stderr)
    if form == "json":
        print_json(board.rows)
        return
    if form == "csv":
        _print_csv(board.rows)
        return
    tasks = dict.fromkeys((row["dataset"], row["protocol"]) for row in board.rows)
    for dataset, protocol in tasks:
        rows = [r for r in board.rows if (r["dataset"], r["protocol"]) == (dataset, protocol)]
        metric = sorted_by.get(protocol) or "pcc"
        _print_task(f"{dataset} · {protocol}", rows, metric, form == "markdown", published)
        elsewhere = [p for p in board.elsewhere if (p.dataset, p.protocol, p.metric) == (dataset, protocol, metric)]
        if published and elsewhere:
            stated = " · ".join(f"{p.method} {p.value:.3f} ({p.where})" for p in elsewhere)
            print(f"published of methods without a plugin here, {metric}: {stated}")
    if len(tasks) > 1:
        _print_mean_ranks(board.rows, sorted_by, form == "markdown")


def print_breakdown(rows: list[dict[str, Any]], by: str, notes: list[str], form: str) -> None:
    """Print one metric part by part."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if form == "json":
        print_json(rows)
    elif form == "csv":
        _print_csv(rows)
    else:
        _print_parts(rows, by, form == "markdown")


def _print_parts(rows: list[dict[str, Any]], by: str, markdown: bool) -> None:
    for dataset, protocol in dict.fromkeys((row["dataset"], row["protocol"]) for row in rows):
        own = [r for r in rows if (r["dataset"], r["protocol"]) == (dataset, protocol)]
        metric = own[0]["metric"]
        body = [[row[by], variant_name(row, own), _number(row["value"]), _interval(row), _units(row)] for row in own]
        columns = [by, "model", metric, "95 % interval", "units"]
        print_table(columns, body, title=f"{dataset} · {protocol} · by {by}", numeric=(metric,), markdown=markdown)


def _print_mean_ranks(rows: list[dict[str, Any]], sorted_by: Mapping[str, str | None], markdown: bool) -> None:
    """Mean rank over the tasks that every ranked model of the table has in common."""
    shown = [r for r in rows if r["rank"] is not None and r["metric"] == (sorted_by.get(r["protocol"]) or "pcc")]
    best: dict[str, dict[tuple[str, str], int]] = {}
    for row in shown:  # a model's best variant stands for it
        ranks = best.setdefault(row["model"], {})
        task = (row["dataset"], row["protocol"])
        ranks[task] = min(row["rank"], ranks.get(task, row["rank"]))
    tasks = {task for ranks in best.values() for task in ranks}
    everywhere = {
        model: [ranks[task] for task in sorted(tasks)] for model, ranks in best.items() if ranks.keys() == tasks
    }
    if len(tasks) > 1 and len(everywhere) > 1:
        means = sorted(mean_ranks(everywhere).items(), key=lambda item: item[1])
        title = f"mean rank over {len(tasks)} tasks"
        print_table(["model", "mean rank"], [[m, f"{r:.2f}"] for m, r in means], title=title, markdown=markdown)


def _print_task(title: str, rows: list[dict[str, Any]], metric: str, markdown: bool, published: bool) -> None:
    main = [row for row in rows if row["metric"] == metric]
    if not main:
        return
    others = [m for m in BESIDE if m != metric and any(r["metric"] == m for r in rows)]
    values = {(variant_key(row), row["metric"]): row["value"] for row in rows}
    told = ["published", "difference", "printed in"] if published else []
    columns = ["rank", "model", metric, "95 % interval", *told, *others, "units", "coverage", "train s", "predict s",
               "MB", "parameters", "notes"]  # fmt: skip
    body = [
        [
            _rank(row),
            variant_name(row, main),
            _number(row["value"]),
            _interval(row),
            *(_published(row) if published else ()),
            *(_number(values.get((variant_key(row), m))) for m in others),
            _units(row),
            f"{row['coverage']:.0%}",
            _number(row["fit_seconds"], 1),
            _number(row["predict_seconds"], 2),
            _number(row["peak_memory_mb"], 0),
            f"{row['n_parameters']:,}" if row["n_parameters"] else "",
            ", ".join([*(["control"] if row["control"] else []), *row["badges"]]),
        ]
        for row in main
    ]
    lines = " · ".join(f"{name} {value:.3f}" for name, value in main[0]["references"].items())
    caption = f"reference lines ({metric}, computed from the truth, not ranked): {lines}" if lines else ""
    if any(row["tied_with_best"] and row["rank"] != 1 for row in main):
        caption += ("; " if caption else "") + (TIES if main[0]["n_units"] > 1 else TIED_BY_ONE)
    numeric = (
        "rank",
        metric,
        "published",
        "difference",
        *others,
        "coverage",
        "train s",
        "predict s",
        "MB",
        "parameters",
    )
    print_table(columns, body, title=title, caption=caption, numeric=numeric, markdown=markdown)


def _rank(row: dict[str, Any]) -> str:
    if row["rank"] is None:
        return "–"
    return f"{row['rank']} ≈" if row["tied_with_best"] and row["rank"] != 1 else str(row["rank"])


def _published(row: dict[str, Any]) -> list[str]:
    difference = "" if row["difference"] is None else f"{row['difference']:+.3f}"
    return [_number(row["published"]), difference, row["published_where"] or ""]


def _units(row: dict[str, Any]) -> str:
    return f"{row['n_units']} {row['unit']}{'s' * (row['n_units'] != 1)}"


def _interval(row: dict[str, Any]) -> str:
    if row["ci_low"] is None:
        return "none (1 unit)" if row["n_units"] == 1 else "–"
    return f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _print_csv(rows: list[dict[str, Any]]) -> None:
    import csv

    if not rows:
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]))
    writer.writeheader()
    for row in rows:
        plain = {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in row.items()}
        writer.writerow(plain)
