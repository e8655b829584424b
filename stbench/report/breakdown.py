"""One metric broken down: by gene, slide, patient, pathologist's region, technology, organ or spot size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from stbench.errors import UsageError
from stbench.report.scores import TASK, VARIANT, Scores
from stbench.stats import t_interval
from stbench.store import Store
from stbench.store.slide_info import slide_info

OF_SLIDES = ("technology", "organ", "spot_um")
BY = ("gene", "slide", "patient", "region", *OF_SLIDES)
OF_GENES = ("pcc", "r2", "mse", "mae", "rmse")
"""Metrics that `gene_scores` has a column of."""

GENES = """
SELECT run_id, patient, slide, fold, gene AS part, {metric} AS value FROM gene_scores WHERE split = 'test'
"""
STORED_GENES = """
SELECT run_id, patient, slide, fold, gene AS part,
       CASE WHEN undefined_reason = 'constant_prediction' THEN 0.0 ELSE value END AS value
FROM metrics WHERE metric = '{metric}' AND gene IS NOT NULL
"""
REGIONS = """
WITH joined AS (
    SELECT p.run_id, p.slide, p.fold, p.gene, t.region, p.y_pred::DOUBLE AS y_pred, t.y_true::DOUBLE AS y_true
    FROM predictions p
    JOIN (SELECT DISTINCT truth_key, gene, spot_row, y_true, measured, region FROM truth) t
      USING (truth_key, gene, spot_row)
    WHERE t.measured AND t.region IS NOT NULL AND p.y_pred IS NOT NULL
), genes AS (
    SELECT run_id, slide, fold, gene, region, count(*) AS n, avg(y_true) AS mean_true, avg(y_pred) AS mean_pred,
           n * var_pop(y_true) AS ss_true, n * var_pop(y_pred) AS ss_pred, n * covar_pop(y_true, y_pred) AS crossed,
           avg(abs(y_true - y_pred)) AS mae
    FROM joined GROUP BY ALL
)
SELECT g.run_id, c.patients[g.slide] AS patient, g.slide, g.fold, g.region AS part, avg({metric}) AS value
FROM (
    SELECT *, gene_pcc(n, ss_true, ss_pred, crossed) AS pcc,
           gene_sse(n, mean_true, mean_pred, ss_true, ss_pred, crossed) / n AS mse, sqrt(mse) AS rmse,
           CASE WHEN n >= 2 AND ss_true > 0 THEN 1 - mse * n / ss_true END AS r2
    FROM genes
) g JOIN cells c USING (run_id) GROUP BY ALL
"""


def breakdown(store: Store, scores: Scores, by: str, metric: str) -> list[dict[str, Any]]:
    """Score each variant on each part of its test slides.

    Parameters
    ----------
    by
        One of `BY`.
    metric
        A metric's name; by gene one that has a value per gene, by region one that follows from moments.

    Returns
    -------
    Rows with dataset, protocol, model, params, the part, value, interval and number of units, best first within a
    part. Sister sections of one patient are no independent units: slides and patients have no interval.

    Raises
    ------
    UsageError
        A metric that cannot be broken down so.
    """
    table = _table(store, scores, by, metric)
    spec = scores.specs.get(metric)
    joined = table.join(scores.cells.select(["run_id", *VARIANT]), on="run_id").drop_nulls(["value", "part"])
    unit = "slide" if by in ("slide", "patient") else "patient"
    levels = [["part", "slide", "fold"], ["part", "slide"]] if unit == "slide" else [
        ["part", "patient", "slide", "fold"], ["part", "patient", "slide"], ["part", "patient"]
    ]  # fmt: skip
    for level in levels:
        joined = joined.group_by([*VARIANT, *level], maintain_order=True).agg(pl.col("value").mean())
    rows = [
        _row(dict(zip([*VARIANT, by], key, strict=True)), by, metric, unit, group["value"].to_list())
        for key, group in joined.group_by([*VARIANT, "part"], maintain_order=True)
    ]
    sign = -1 if spec is None or spec.direction == "max" else 1
    return sorted(rows, key=lambda r: (*(r[c] for c in TASK), str(r[by]), sign * r["value"], r["model"]))


def _row(named: dict[str, Any], by: str, metric: str, unit: str, values: Sequence[float]) -> dict[str, Any]:
    interval = t_interval(values)
    return {
        **named,
        "params": json.loads(named["params"]),
        "metric": metric,
        "by": by,
        "value": interval.mean,
        "ci_low": interval.low if unit == "patient" else None,
        "ci_high": interval.high if unit == "patient" else None,
        "n_units": interval.n_units,
        "unit": unit,
    }


def _table(store: Store, scores: Scores, by: str, metric: str) -> pl.DataFrame:
    """run_id, patient, slide, fold, part, value."""
    if by in ("gene", "region"):
        frame = pl.from_arrow(store.query(_sql(scores, by, metric)))
        assert isinstance(frame, pl.DataFrame)
        return frame
    slides = scores.slides.filter(
        pl.col("split") == "test", pl.col("metric") == metric, pl.col("patient").is_not_null()
    )
    if slides.is_empty():
        raise UsageError(f"{metric} has no value per slide; --by {by} takes metrics that have one")
    if by in ("slide", "patient"):
        return slides.with_columns(pl.col(by).alias("part"))
    parts = _facts(store, scores, by)
    return slides.join(parts, on=["run_id", "slide"], how="left")


def _sql(scores: Scores, by: str, metric: str) -> str:
    spec = scores.specs.get(metric)
    if metric in OF_GENES:
        return (GENES if by == "gene" else REGIONS).format(metric=metric)
    if by == "region":
        raise UsageError(f"--by region takes {', '.join(OF_GENES)}; {metric} is not computed inside regions")
    if spec is None or spec.level != "gene" or spec.derived:
        raise UsageError(f"{metric} has no value per gene; {', '.join(OF_GENES)} and gene metrics have")
    return STORED_GENES.format(metric=metric)


def _facts(store: Store, scores: Scores, by: str) -> pl.DataFrame:
    """What the stored truth says of each test slide."""
    kept = set(scores.cells["run_id"])
    rows = [
        {"run_id": record.run_id, "slide": test.slide, "part": _text(slide_info(store.layout, test.truth_key).get(by))}
        for record in store.records.values()
        if record.run_id in kept
        for test in record.test
    ]
    return pl.DataFrame(rows, schema={"run_id": pl.String, "slide": pl.String, "part": pl.String})


def _text(value: object) -> str | None:
    if value in (None, ""):
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)
