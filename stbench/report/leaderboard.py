"""The leaderboard: means over independent units, with intervals, ranks and tie bands, coverage, cost and badges.

Unit is the patient (for published section means, the slide). Seeds are averaged inside a slide, folds inside a slide,
slides inside a patient; nothing missing is imputed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from stbench.registry import MetricSpec, Published, Registry
from stbench.report.cautions import ALIKE, cautions
from stbench.report.headlines import headlines
from stbench.report.published import published_numbers
from stbench.report.scores import TASK, VARIANT, Scores, read_scores
from stbench.report.selection import by_validation
from stbench.stats import standings, t_interval
from stbench.stats.ranks import TIED
from stbench.store import Store

REFERENCE_METRICS = ("pcc", "pcc_slide")
"""Metrics under which the references are shown."""

Row = dict[str, Any]


@dataclass
class Leaderboard:
    """Rows, best first within each task and metric, and sentences a reader should see.

    Attributes
    ----------
    elsewhere
        Numbers that papers print of methods no plugin carries.
    """

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    elsewhere: list[Published] = field(default_factory=list)


def leaderboard(
    store: Store,
    registry: Registry,
    datasets: Sequence[str] | None = None,
    protocols: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    select_by: str | None = None,
    beside: Sequence[str] | None = None,
) -> Leaderboard:
    """Compute the leaderboard of a store.

    Parameters
    ----------
    datasets, protocols, metrics
        Show only these; None for all.
    select_by
        Among the parameter sets of a model, show in each fold the one with the best validation score of this metric.
    beside
        Only these metrics, each protocol's headline and what the notes compare: a table that shows no more is made
        sooner. None for all.

    Returns
    -------
    Leaderboard
        One row per dataset, protocol, model, parameters and metric.
    """
    for name in metrics or ():
        registry.get("metric", name)
    scores = read_scores(store, registry, datasets, protocols)
    if select_by:
        scores = by_validation(scores, select_by)
    if scores.cells.is_empty():
        return Leaderboard(notes=scores.notes)
    described = _described(scores)
    stated = published_numbers(registry)
    rows: list[Row] = []
    shown = set() if beside is None else {*beside, *ALIKE}
    first = {} if beside is None else headlines(registry, set(scores.cells["protocol"].unique()))
    for key, group in scores.units().group_by([*TASK, "metric"], maintain_order=True):
        dataset, protocol, metric = map(str, key)
        if (metrics and metric not in metrics) or (shown and metric not in shown and metric != first.get(protocol)):
            continue
        spec = scores.specs.get(metric)
        lines = _references(scores, dataset, protocol, metric)
        of_task = [_row(spec, metric, described[name], values, lines) for name, values in group.group_by(VARIANT)]
        for row in of_task:
            row |= stated.beside(row)
        rows += _ranked(of_task, spec)
    rows.sort(key=_order)
    notes = [*scores.notes, *cautions(rows)]
    for row in rows:
        del row["units"]
    return Leaderboard(rows, notes, stated.elsewhere)


def _described(scores: Scores) -> dict[tuple[Any, ...], Row]:
    """What a variant's rows share, whatever the metric."""
    lost = Counter(name for name in scores.failed.select([*VARIANT, "cell_key"]).unique().select(VARIANT).iter_rows())
    return {
        name: _description(dict(zip(VARIANT, name, strict=True)), own, lost[tuple(name)])
        for name, own in scores.cells.group_by(VARIANT)
    }


def _description(named: Row, own: pl.DataFrame, n_failed: int) -> Row:
    seeds = max(1, own["seed"].n_unique())
    badges = sorted({b for marks in own["badges"] for b in marks})
    return {
        **named,
        "params": json.loads(named["params"]),
        "preset": own["preset"][0],
        "control": own["control"][0],
        "coverage": float(own["covered_parts"].sum() / (own["complete_parts"][0] * seeds)),
        "folds": sorted(own["fold"].unique()),
        "rank": None,
        "tied_with_best": None,
        "p_holm": None,
        "badges": [*badges, f"{n_failed} failed"] if n_failed else badges,
        "n_seeds": seeds,
        "n_constant_prediction": int(own["n_constant_prediction"].sum()),
        "n_constant_truth": int(own["n_constant_truth"].sum()),
        "fit_seconds": own["fit_seconds"].mean(),
        "predict_seconds": own["predict_seconds"].mean(),
        "peak_memory_mb": own["peak_memory_mb"].max(),
        "peak_gpu_memory_mb": own["peak_gpu_memory_mb"].max(),
        "n_parameters": own["n_parameters"].max(),
    }


def _row(spec: MetricSpec | None, metric: str, described: Row, values: pl.DataFrame, lines: dict[str, float]) -> Row:
    interval = t_interval(values["value"].to_numpy())
    return {
        **described,
        "metric": metric,
        "value": interval.mean,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "n_units": interval.n_units,
        "unit": spec.unit if spec else "patient",
        "badges": list(described["badges"]),
        "references": lines,
        "units": dict(zip(values["unit"], values["value"], strict=True)),
    }


def _ranked(rows: list[Row], spec: MetricSpec | None) -> list[Row]:
    """Rank the variants that cover most of the task, all with the same folds; the others are marked incomplete."""
    if spec is not None and not spec.ranks:
        return rows
    alike = Counter(tuple(row["folds"]) for row in rows)
    widest = max(rows, key=lambda row: (round(row["coverage"], 9), alike[tuple(row["folds"])], row["folds"]))
    complete = {
        str(i): row
        for i, row in enumerate(rows)
        if row["folds"] == widest["folds"]
        and row["coverage"] > widest["coverage"] - TIED
        and row["units"].keys() == widest["units"].keys()
    }
    order = list(widest["units"])
    values = {name: np.array([row["units"][unit] for unit in order]) for name, row in complete.items()}
    for name, standing in standings(values, spec is None or spec.direction == "max").items():
        complete[name] |= {
            "rank": standing.rank,
            "tied_with_best": standing.tied_with_best,
            "p_holm": standing.p_holm,
        }
    for row in rows:
        if row["rank"] is None:
            row["badges"].append("incomplete")
    return rows


def _references(scores: Scores, dataset: str, protocol: str, metric: str) -> dict[str, float]:
    """References over the same slides as the runs, reduced like them: slides, then patients unless slides are units."""
    if metric not in REFERENCE_METRICS:
        return {}
    own = scores.cells.filter(pl.col("dataset") == dataset, pl.col("protocol") == protocol)
    units = scores.references.join(own.select("run_id"), on="run_id", how="semi").unique(["reference", "truth_key"])
    units = units.with_columns(pl.col("reference").cast(pl.String))
    spec = scores.specs.get(metric)
    by_slide = spec is not None and spec.unit == "slide"
    for inner in (["patient", "slide"],) if by_slide else (["patient", "slide"], ["patient"]):
        units = units.group_by(["reference", *inner]).agg(pl.col("pcc").mean())
    means = units.group_by("reference").agg(pl.col("pcc").mean()).sort("reference")
    return {str(name): float(value) for name, value in means.iter_rows()}


def _order(row: Row) -> tuple[Any, ...]:
    rank = (row["rank"] is None, row["rank"] or 0)
    return row["dataset"], row["protocol"], row["metric"], *rank, row["model"], json.dumps(row["params"])
