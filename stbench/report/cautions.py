"""Sentences a reader of a leaderboard should see before believing an order."""

from __future__ import annotations

import json
from typing import Any

from stbench.stats import disagreement

ALIKE = ("pcc", "pcc_pooled", "pcc_median", "pcc_slide")
"""Reductions of one correlation that ought to rank models alike."""

BETWEEN = 0.2
"""Pooled correlation above the one within slides that says a model mostly tells slides apart."""


def cautions(rows: list[dict[str, Any]]) -> list[str]:
    """Say where reductions of the same correlation rank the models differently, and where pooling makes a score.

    Parameters
    ----------
    rows
        Of the leaderboard, of any metrics.
    """
    values: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    names: dict[str, str] = {}
    for row in rows:
        if row["metric"] in ALIKE and row["rank"] is not None:
            variant = json.dumps([row["model"], row["distribution"], row["params"], row["precision"]], sort_keys=True)
            names[variant] = row["model"]
            task = values.setdefault((row["dataset"], row["protocol"]), {})
            task.setdefault(row["metric"], {})[variant] = row["value"]
    found = []
    for (dataset, protocol), by_metric in values.items():
        where = f"{dataset} under {protocol}"
        pcc = by_metric.get("pcc", {})
        for metric, scores in by_metric.items():
            compared = disagreement(pcc, scores)
            if metric != "pcc" and not compared.same:
                found.append(f"{where}: {metric} ranks the models differently from pcc{_tau(compared.tau)}")
        pooled = by_metric.get("pcc_pooled", {})
        found += [
            f"{where}: {names[variant]} has pcc_pooled {value:.2f} against pcc {pcc[variant]:.2f}: it tells slides "
            "apart more than spots within them"
            for variant, value in pooled.items()
            if variant in pcc and value - pcc[variant] > BETWEEN
        ]
    return found


def _tau(tau: float | None) -> str:
    return "" if tau is None else f" (Kendall's tau {tau:.2f})"
