"""A variant is a model with its parameters and precision: what a leaderboard row, a map and a curve stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def variant_key(row: Mapping[str, Any]) -> str:
    """Key of the variant that a row of the leaderboard, or a cell, is about."""
    return json.dumps([row["model"], row["distribution"], row["params"], row["precision"]], sort_keys=True)


def variant_name(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Name, with the parameters that tell this variant from the model's others among `rows`."""
    if isinstance(row["params"], str):
        return f"{row['model']} ({row['params']})"
    siblings = [r["params"] for r in rows if r["model"] == row["model"] and isinstance(r["params"], dict)]
    differing = [k for k in row["params"] if len({json.dumps(p.get(k)) for p in siblings}) > 1]
    name: str = row["model"] + "".join(f" {k}={row['params'][k]}" for k in differing)
    return name + (f" ({row['precision']})" if row["precision"] != "float32" else "")
