"""Choosing among a model's parameter sets by validation score: no test score enters."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from stbench.report.scores import MODEL, Scores
from stbench.stats.selection import select

SELECTED = '"chosen per fold by validation"'
"""What stands for the parameters of a selected model (JSON)."""


def by_validation(scores: Scores, metric: str) -> Scores:
    """Keep, in each fold, the parameter set of each model with the best validation score.

    A fold's own validation decides for it; scores of another fold, whose validation may hold this fold's test slides,
    do not. Models with one parameter set stay as they are.

    Parameters
    ----------
    metric
        The metric that decides, under which validation was scored (those derived from moments).
    """
    spec = scores.specs.get(metric)
    variants = scores.cells.group_by([*MODEL, "precision"]).agg(pl.col("params").n_unique().alias("n_sets"))
    several = scores.cells.join(variants.filter(pl.col("n_sets") > 1), on=[*MODEL, "precision"], how="semi")
    if several.is_empty():
        return scores
    validation = scores.slides.filter(pl.col("split") == "validation", pl.col("metric") == metric).drop_nulls("value")
    fold = [*MODEL, "precision", "fold"]
    scored = (
        validation.select("run_id", "seed", "slide", "value")
        .join(several.select("run_id", "params", *fold), on="run_id")
        .group_by([*fold, "params", "slide"])
        .agg(pl.col("value").mean())
        .group_by([*fold, "params"])
        .agg(pl.col("value").mean())
    )
    chosen = [
        {**dict(zip(fold, key, strict=True)), "params": _best(group, spec is None or spec.direction == "max")}
        for key, group in scored.group_by(fold)
    ]
    keep = pl.DataFrame(chosen, schema={name: several.schema[name] for name in (*fold, "params")})
    picked = several.join(keep, on=[*fold, "params"], how="semi").with_columns(pl.lit(SELECTED).alias("params"))
    single = scores.cells.join(several, on="run_id", how="anti")
    dropped = several.join(keep, on=fold, how="anti")["fold"].n_unique()
    note = f"{len(several)} runs of several parameter sets: one set is chosen per fold by validation {metric}"
    notes = [*scores.notes, note]
    if dropped:
        notes.append(f"{dropped} folds have no validation score to choose by and are left out")
    return replace(scores, cells=pl.concat([single, picked]), notes=notes)


def _best(group: pl.DataFrame, higher_is_better: bool) -> str:
    return select(dict(zip(group["params"], group["value"], strict=True)), higher_is_better)
