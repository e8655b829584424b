"""Printing a leaderboard."""

from __future__ import annotations

import json
import sys
from typing import Any

from stbench.report.console import print_json, print_table
from stbench.report.leaderboard import Leaderboard

BESIDE = ("pcc", "r2", "mse", "pcc_spot")
"""Metrics shown beside the one the table is sorted by."""


def print_leaderboard(board: Leaderboard, sorted_by: dict[str, str], form: str) -> None:
    """Print as table, markdown, csv or json.

    Parameters
    ----------
    sorted_by
        The metric each protocol's table is sorted by.
    """
    for note in board.notes:
        print(f"note: {note}", file=sys.stderr)
    if form == "json":
        print_json(board.rows)
        return
    if form == "csv":
        _print_csv(board)
        return
    tasks = dict.fromkeys((row["dataset"], row["protocol"]) for row in board.rows)
    for dataset, protocol in tasks:
        rows = [r for r in board.rows if (r["dataset"], r["protocol"]) == (dataset, protocol)]
        _print_task(f"{dataset} · {protocol}", rows, sorted_by.get(protocol, "pcc"), form == "markdown")


def _print_task(title: str, rows: list[dict[str, Any]], metric: str, markdown: bool) -> None:
    main = [row for row in rows if row["metric"] == metric]
    if not main:
        return
    others = [m for m in BESIDE if m != metric and any(r["metric"] == m for r in rows)]
    values = {(_variant(row), row["metric"]): row["value"] for row in rows}
    columns = ["rank", "model", metric, "95 % interval", *others, "units", "coverage", "train s", "predict s",
               "MB", "parameters", "notes"]  # fmt: skip
    body = [
        [
            row["rank"] or "–",
            _model_name(row, main),
            _number(row["value"]),
            _interval(row),
            *(_number(values.get((_variant(row), m))) for m in others),
            f"{row['n_units']} {row['unit']}{'s' * (row['n_units'] != 1)}",
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
    numeric = ("rank", metric, *others, "coverage", "train s", "predict s", "MB", "parameters")
    print_table(columns, body, title=title, caption=caption, numeric=numeric, markdown=markdown)


def _model_name(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Name, with the parameters that tell this variant from the model's others in the table."""
    siblings = [r["params"] for r in rows if r["model"] == row["model"]]
    differing = [k for k in row["params"] if len({json.dumps(p.get(k)) for p in siblings}) > 1]
    name: str = row["model"] + "".join(f" {k}={row['params'][k]}" for k in differing)
    return name + (f" ({row['precision']})" if row["precision"] != "float32" else "")


def _variant(row: dict[str, Any]) -> str:
    return json.dumps([row["model"], row["distribution"], row["params"], row["precision"]], sort_keys=True)


def _interval(row: dict[str, Any]) -> str:
    if row["ci_low"] is None:
        return "none (1 unit)"
    return f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _print_csv(board: Leaderboard) -> None:
    import csv

    if not board.rows:
        return
    writer = csv.DictWriter(sys.stdout, list(board.rows[0]))
    writer.writeheader()
    for row in board.rows:
        plain = {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in row.items()}
        writer.writerow(plain)
