"""The leaderboard's rows, arranged by task, variant and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stbench.report.variants import variant_key, variant_name

TaskName = tuple[str, str]
VALUES = ("value", "ci_low", "ci_high", "rank", "tied_with_best", "p_holm", "n_units", "published")
"""What differs between the metrics of a variant."""
SHARED = (
    "model", "params", "precision", "preset", "control", "coverage", "n_seeds", "fit_seconds", "predict_seconds",
    "peak_memory_mb", "peak_gpu_memory_mb", "n_parameters",
)  # fmt: skip
"""What a variant's rows have in common."""
INCOMPLETE = "incomplete"


def boards(rows: Sequence[Mapping[str, Any]], headlines: Mapping[str, str]) -> dict[TaskName, dict[str, Any]]:
    """Arrange rows of the leaderboard.

    Parameters
    ----------
    headlines
        The metric each protocol shows first.

    Returns
    -------
    By dataset and protocol: its ``variants`` in the order of the headline metric, and for each of ``metrics`` the
    reference lines and one entry of `VALUES` per variant (None where it has none).
    """
    by_task: dict[TaskName, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_task.setdefault((row["dataset"], row["protocol"]), []).append(row)
    return {task: _board(task, own, headlines.get(task[1], "pcc")) for task, own in by_task.items()}


def _board(task: TaskName, rows: list[Mapping[str, Any]], headline: str) -> dict[str, Any]:
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    first = headline if headline in metrics else metrics[0]
    ordered = sorted(rows, key=lambda row: row["metric"] != first)  # stable: best first under the headline
    variants = {key: row for row in reversed(ordered) if (key := variant_key(row))}
    order = list(dict.fromkeys(variant_key(row) for row in ordered))
    cells = {(row["metric"], variant_key(row)): row for row in rows}
    return {
        "dataset": task[0],
        "protocol": task[1],
        "headline": first,
        "variants": [_variant(key, variants[key], list(variants.values())) for key in order],
        "metrics": {
            metric: {
                "unit": next(row["unit"] for row in rows if row["metric"] == metric),
                "references": next(row["references"] for row in rows if row["metric"] == metric),
                "rows": [
                    {name: cells[metric, key][name] for name in VALUES} if (metric, key) in cells else None
                    for key in order
                ],
            }
            for metric in [first, *(m for m in metrics if m != first)]
        },
    }


def _variant(key: str, row: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    badges = [badge for badge in row["badges"] if badge != INCOMPLETE]
    return {"key": key, "name": variant_name(row, rows), "badges": badges} | {name: row[name] for name in SHARED}
