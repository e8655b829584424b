"""The scores of two runs: moments of both splits, and the metrics that do not follow from them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from stbench.execution.reproduce.changes import StoredRun
from stbench.execution.reproduce.differences import Difference, difference, moments_difference, union
from stbench.execution.reproduce.result import Stage, judge

MOMENTS_OF = ["split", "slide", "gene"]
METRIC_OF = ["metric", "version", "slide", "gene"]
NAMED = 5
"""Metrics that a sentence names."""


def score_stage(then: StoredRun, now: StoredRun, tolerance: float) -> Stage:
    """Compare the scores that two runs were committed with."""
    old, new, other = _aligned(_rows(then, "moments"), _rows(now, "moments"), MOMENTS_OF)
    metrics_then, metrics_now = _rows(then, "metrics"), _rows(now, "metrics")
    said = [_pcc(old, new), *_not_compared(metrics_then, metrics_now)]
    if other:
        said.append("moments are of other slides or genes; those of both are compared")
    metrics = _metrics_difference(*_aligned(metrics_then, metrics_now, METRIC_OF)[:2])
    if beyond := [name for name, found in metrics.items() if found.relative > tolerance]:
        said.append(f"beyond the tolerance: metrics {_few(beyond)}")
    apart = union([moments_difference(old, new), *metrics.values()])
    return Stage("score", judge(apart, tolerance, other), apart, tuple(said))


def _rows(run: StoredRun, name: str) -> pd.DataFrame:
    return pq.read_table(run.folder / f"{name}.parquet").to_pandas()


def _aligned(then: pd.DataFrame, now: pd.DataFrame, keys: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, bool]:
    """Rows that both have, in one order, and whether one has others."""
    indexed = []
    for frame in (then, now):
        names = frame[keys].astype(str)  # plain text: dictionaries of the two files need not agree
        indexed.append(frame.set_axis(pd.MultiIndex.from_frame(names.assign(nth=names.groupby(keys).cumcount()))))
    shared = indexed[0].index.intersection(indexed[1].index, sort=False)
    return indexed[0].loc[shared], indexed[1].loc[shared], not len(shared) == len(then) == len(now)


def _metrics_difference(then: pd.DataFrame, now: pd.DataFrame) -> dict[str, Difference]:
    """By metric; relative to a value's size, or to 1 where it is smaller: there is no spread of a single value."""
    found = {}
    for name, old in then.groupby(then["metric"].astype(str)):
        values = old["value"].to_numpy(np.float64)
        again = now.loc[old.index, "value"].to_numpy(np.float64)
        found[str(name)] = difference(values, again, np.maximum(1.0, np.nan_to_num(np.abs(values))))
    return found


def _not_compared(then: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    """Metrics that only one run has, or has in another version."""
    old, new = (dict(zip(f["metric"].astype(str), f["version"].astype(str), strict=True)) for f in (then, now))
    left_out = {
        "only of then": [name for name in old if name not in new],
        "only of now": [name for name in new if name not in old],
        "of another version": [name for name in old if new.get(name, old[name]) != old[name]],
    }
    return [f"not compared: metrics {what}: {_few(names)}" for what, names in left_out.items() if names]


def _few(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _pcc(then: pd.DataFrame, now: pd.DataFrame) -> str:
    """The headline as people know it: r of each gene and test slide, averaged."""
    means = []
    for moments in (then, now):
        tested = moments[(moments["split"].astype(str) == "test") & (moments["ss_true"] > 0)]
        spread = np.sqrt(tested["ss_true"] * tested["ss_pred"])
        r = np.where(spread > 0, tested["cross"] / np.where(spread > 0, spread, 1.0), 0.0)
        means.append(f"{r.mean():.6f}" if len(r) else "undefined")
    return f"mean r over genes and test slides {means[0]} then, {means[1]} now"
