"""The leaderboard: means over independent units, with intervals, coverage, cost and badges.

Unit is the patient (for published section means, the slide). Seeds are averaged inside a slide, folds inside a slide,
slides inside a patient; nothing missing is imputed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import duckdb
import polars as pl

from stbench.registry import MetricSpec, Registry
from stbench.stats import t_interval
from stbench.store import Store

TASK = ["dataset", "protocol"]
VARIANT = [*TASK, "model", "distribution", "params", "precision"]
DATA_VERSION = ["dataset_revision", "protocol_version"]
CODE_VERSION = ["results_version", "source_digest"]
REFERENCE_METRICS = ("pcc", "pcc_slide")
"""Metrics under which the references are shown."""
ROUNDING = 1e-9
"""Values closer than this are tied: sums are taken in another order each time."""

CELLS = "SELECT * EXCLUDE (truth_keys, patients, ledger), CAST(truth_keys AS VARCHAR) AS truth FROM cells"
FAILED = """
SELECT * EXCLUDE (truth_keys, patients, ledger) FROM runs
WHERE status != 'ok' AND cell_key NOT IN (SELECT cell_key FROM cells)
"""
SCORES = """
SELECT run_id, fold, patient, slide, seed, metric, value FROM slide_scores WHERE split = 'test'
UNION ALL BY NAME
SELECT run_id, fold, fold AS slide, seed, metric, value FROM fold_scores WHERE split = 'test'
"""
CONSTANTS = """
SELECT run_id,
       count(*) FILTER (undefined_reason = 'constant_prediction') AS n_constant_prediction,
       count(*) FILTER (undefined_reason = 'constant_truth') AS n_constant_truth
FROM gene_scores WHERE split = 'test' GROUP BY ALL
"""
REFERENCES = "SELECT * FROM reference_scores"


@dataclass
class Leaderboard:
    """Rows, best first within each task and metric, and sentences a reader should see."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def leaderboard(
    store: Store,
    registry: Registry,
    datasets: list[str] | None = None,
    protocols: list[str] | None = None,
    metrics: list[str] | None = None,
) -> Leaderboard:
    """Compute the leaderboard of a store.

    Parameters
    ----------
    datasets, protocols, metrics
        Show only these; None for all.

    Returns
    -------
    Leaderboard
        One row per dataset, protocol, model, parameters and metric.
    """
    result = Leaderboard()
    specs = {r.spec.name: r.spec for r in registry.all("metric")}
    for name in metrics or ():
        registry.get("metric", name)
    with store.connect() as connection:
        cells, failed, scores, constants, references = (
            _frame(connection, sql) for sql in (CELLS, FAILED, SCORES, CONSTANTS, REFERENCES)
        )
    cells = cells.join(constants, on="run_id", how="left")
    for column, chosen in (("dataset", datasets), ("protocol", protocols)):
        if chosen:
            cells = cells.filter(pl.col(column).is_in(chosen))
            failed = failed.filter(pl.col(column).is_in(chosen))
    cells = _current(cells, result)
    result.notes += store.problems
    if cells.is_empty():
        return result
    versions = [*VARIANT, *DATA_VERSION, *CODE_VERSION]
    failed = failed.join(cells.select(versions), on=versions, how="semi", nulls_equal=True)
    units = _units(scores, cells, specs)
    for key, group in units.group_by([*TASK, "metric"], maintain_order=True):
        dataset, protocol, metric = map(str, key)
        if metrics and metric not in metrics:
            continue
        spec = specs.get(metric)
        own = cells.filter(pl.col("dataset") == dataset, pl.col("protocol") == protocol)
        lines = (
            _references(references, own, spec is not None and spec.unit == "slide")
            if metric in REFERENCE_METRICS
            else {}
        )
        rows = [_row(spec, metric, name, values, cells, failed) for name, values in group.group_by(VARIANT)]
        for row in rows:
            row["references"] = lines
        result.rows += _ranked(rows, spec)
    result.rows.sort(key=_order)
    result.notes += _disagreements(result.rows)
    return result


def _frame(connection: duckdb.DuckDBPyConnection, sql: str) -> pl.DataFrame:
    frame = pl.from_arrow(connection.sql(sql).to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


def _current(cells: pl.DataFrame, result: Leaderboard) -> pl.DataFrame:
    """Keep the newest data revision and protocol version of each task, and the newest code of each variant."""
    newest = cells.sort("run_id", descending=True)
    for what, group, version in (
        ("another revision of the data or the protocol", TASK, DATA_VERSION),
        ("an older version of the model's code", VARIANT, CODE_VERSION),
    ):
        current = newest.group_by(group, maintain_order=True).first().select([*group, *version])
        kept = newest.join(current, on=[*group, *version], how="semi", nulls_equal=True)
        if left_out := len(newest) - len(kept):
            result.notes.append(f"{left_out} runs of {what} are not shown")
        newest = kept
    return _same_truth(newest, result)


def _same_truth(cells: pl.DataFrame, result: Leaderboard) -> pl.DataFrame:
    """Runs of one fold count only together if they were scored against the same truth: the newest wins."""
    if cells.is_empty():
        return cells
    newest = cells.group_by([*TASK, "fold"], maintain_order=True).agg(pl.col("truth").first())
    kept = cells.join(newest, on=[*TASK, "fold", "truth"], how="semi")
    if left_out := len(cells) - len(kept):
        result.notes.append(f"{left_out} runs were scored against another truth of the same fold and are not shown")
    return kept


def _units(scores: pl.DataFrame, cells: pl.DataFrame, specs: dict[str, MetricSpec]) -> pl.DataFrame:
    """One value per variant, metric and independent unit."""
    by_slide = {name for name, spec in specs.items() if spec.unit == "slide"}
    joined = scores.join(cells.select(["run_id", *VARIANT]), on="run_id").drop_nulls("value")
    unit = (
        pl.when(pl.col("metric").is_in(list(by_slide))).then(pl.col("slide")).otherwise(pl.coalesce("patient", "slide"))
    )
    joined = joined.with_columns(unit.alias("unit"))
    for inner in (["unit", "slide", "fold"], ["unit", "slide"], ["unit"]):
        joined = joined.group_by([*VARIANT, "metric", *inner], maintain_order=True).agg(pl.col("value").mean())
    return joined


def _row(
    spec: MetricSpec | None,
    metric: str,
    variant: tuple[Any, ...],
    values: pl.DataFrame,
    cells: pl.DataFrame,
    failed: pl.DataFrame,
) -> dict[str, Any]:
    named = dict(zip(VARIANT, variant, strict=True))
    own = _of(cells, named)
    interval = t_interval(values["value"].to_numpy())
    seeds = max(1, own["seed"].n_unique())
    badges = sorted({b for marks in own["badges"] for b in marks})
    if lost := _of(failed, named)["cell_key"].n_unique():
        badges.append(f"{lost} failed")
    return {
        **named,
        "params": json.loads(named["params"]),
        "preset": own["preset"][0],
        "control": own["control"][0],
        "metric": metric,
        "value": interval.mean,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "n_units": interval.n_units,
        "unit": spec.unit if spec else "patient",
        "coverage": float(own["covered_parts"].sum() / (own["complete_parts"][0] * seeds)),
        "folds": sorted(own["fold"].unique()),
        "rank": None,
        "badges": badges,
        "n_seeds": seeds,
        "n_constant_prediction": int(own["n_constant_prediction"].sum()),
        "n_constant_truth": int(own["n_constant_truth"].sum()),
        "fit_seconds": own["fit_seconds"].mean(),
        "predict_seconds": own["predict_seconds"].mean(),
        "peak_memory_mb": own["peak_memory_mb"].max(),
        "peak_gpu_memory_mb": own["peak_gpu_memory_mb"].max(),
        "n_parameters": own["n_parameters"].max(),
    }


def _of(frame: pl.DataFrame, named: dict[str, Any]) -> pl.DataFrame:
    return frame.filter([pl.col(column) == value for column, value in named.items()])


def _ranked(rows: list[dict[str, Any]], spec: MetricSpec | None) -> list[dict[str, Any]]:
    """Rank the variants that cover most of the task, all with the same folds; the others are marked incomplete."""
    sign = -1 if spec is None or spec.direction == "max" else 1
    alike = Counter(tuple(row["folds"]) for row in rows)
    widest = max(rows, key=lambda row: (round(row["coverage"], 9), alike[tuple(row["folds"])], row["folds"]))
    complete = [
        row for row in rows if row["folds"] == widest["folds"] and row["coverage"] > widest["coverage"] - ROUNDING
    ]
    for row in rows:
        if row in complete:
            row["rank"] = 1 + sum(sign * other["value"] < sign * row["value"] - ROUNDING for other in complete)
        else:
            row["badges"] = [*row["badges"], "incomplete"]
    return rows


def _references(references: pl.DataFrame, own: pl.DataFrame, by_slide: bool) -> dict[str, float]:
    """References over the same slides as the runs, reduced like them: slides, then (unless `by_slide`) patients."""
    shown = references.join(own.select("run_id"), on="run_id", how="semi").unique(["reference", "truth_key"])
    units = shown.with_columns(pl.col("reference").cast(pl.String))
    for inner in (["patient", "slide"],) if by_slide else (["patient", "slide"], ["patient"]):
        units = units.group_by(["reference", *inner]).agg(pl.col("pcc").mean())
    means = units.group_by("reference").agg(pl.col("pcc").mean()).sort("reference")
    return {str(name): float(value) for name, value in means.iter_rows()}


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    rank = (row["rank"] is None, row["rank"] or 0)
    return row["dataset"], row["protocol"], row["metric"], *rank, row["model"], json.dumps(row["params"])


def _disagreements(rows: list[dict[str, Any]]) -> list[str]:
    """Say where reductions of the same correlation rank the models differently."""
    ranks: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for row in rows:
        if row["metric"] in ("pcc", "pcc_pooled", "pcc_median", "pcc_slide") and row["rank"] is not None:
            name = json.dumps([row["model"], row["distribution"], row["params"], row["precision"]])
            ranks.setdefault((row["dataset"], row["protocol"]), {}).setdefault(row["metric"], {})[name] = row["rank"]
    return [
        f"{dataset} under {protocol}: {metric} ranks the models differently from pcc"
        for (dataset, protocol), by_metric in ranks.items()
        for metric, by_name in by_metric.items()
        if "pcc" in by_metric and by_name != by_metric["pcc"]
    ]
