"""What a store's runs scored, slide by slide and unit by unit: the numbers under leaderboard, comparison and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import polars as pl

from stbench.registry import MetricSpec, Registry
from stbench.store import Store

TASK = ["dataset", "protocol"]
MODEL = [*TASK, "model", "distribution"]
VARIANT = [*MODEL, "params", "precision"]
DATA_VERSION = ["dataset_revision", "protocol_version"]
CODE_VERSION = ["results_version", "source_digest"]

CELLS = "SELECT * EXCLUDE (truth_keys, patients, ledger), CAST(truth_keys AS VARCHAR) AS truth FROM cells"
FAILED = """
SELECT * EXCLUDE (truth_keys, patients, ledger) FROM runs
WHERE status != 'ok' AND cell_key NOT IN (SELECT cell_key FROM cells)
"""
SCORES = """
SELECT run_id, fold, patient, slide, seed, split, metric, value FROM slide_scores
UNION ALL BY NAME
SELECT run_id, fold, fold AS slide, seed, split, metric, value FROM fold_scores
"""
CONSTANTS = """
SELECT run_id,
       count(*) FILTER (undefined_reason = 'constant_prediction') AS n_constant_prediction,
       count(*) FILTER (undefined_reason = 'constant_truth') AS n_constant_truth
FROM gene_scores WHERE split = 'test' GROUP BY ALL
"""
REFERENCES = "SELECT * FROM reference_scores"


@dataclass
class Scores:
    """Scores of the runs that count.

    Attributes
    ----------
    cells
        One row per finished cell of the newest data, code and truth.
    failed
        Attempts at cells that never succeeded.
    slides
        One row per run, split, metric and slide (the fold, for metrics over a whole fold): value, fold, patient, seed.
    references
        Scores of references computed from the truth.
    notes
        What was left out, and why.
    """

    cells: pl.DataFrame
    failed: pl.DataFrame
    slides: pl.DataFrame
    references: pl.DataFrame
    specs: dict[str, MetricSpec]
    notes: list[str] = field(default_factory=list)

    def units(self, split: str = "test", by: Sequence[str] = VARIANT) -> pl.DataFrame:
        """One value per `by`, metric and independent unit: seeds inside slides, folds inside slides, slides inside it.

        Returns
        -------
        Columns `by`, ``metric``, ``unit``, ``value``.
        """
        return unit_values(self.slides.filter(pl.col("split") == split), self.cells, self.specs, by)


def read_scores(
    store: Store,
    registry: Registry,
    datasets: Sequence[str] | None = None,
    protocols: Sequence[str] | None = None,
) -> Scores:
    """Read the scores of a store.

    Parameters
    ----------
    datasets, protocols
        Only these; None for all.
    """
    queries = (CELLS, FAILED, SCORES, CONSTANTS, REFERENCES)
    with store.connect(*queries, held=True) as connection:
        cells, failed, slides, constants, references = (_frame(connection, sql) for sql in queries)
    cells = cells.join(constants, on="run_id", how="left")
    for column, chosen in (("dataset", datasets), ("protocol", protocols)):
        if chosen:
            cells = cells.filter(pl.col(column).is_in(list(chosen)))
            failed = failed.filter(pl.col(column).is_in(list(chosen)))
    notes: list[str] = []
    cells = _current(cells, notes)
    specs = {r.spec.name: r.spec for r in registry.all("metric")}
    if not cells.is_empty():
        versions = [*VARIANT, *DATA_VERSION, *CODE_VERSION]
        failed = failed.join(cells.select(versions), on=versions, how="semi", nulls_equal=True)
    return Scores(cells, failed, slides, references, specs, [*notes, *store.problems])


def unit_values(
    slides: pl.DataFrame, cells: pl.DataFrame, specs: dict[str, MetricSpec], by: Sequence[str] = VARIANT
) -> pl.DataFrame:
    """One value per `by`, metric and unit; see `Scores.units`."""
    by_slide = [name for name, spec in specs.items() if spec.unit == "slide"]
    joined = slides.join(cells.select(list(dict.fromkeys(["run_id", *by]))), on="run_id").drop_nulls("value")
    unit = pl.when(pl.col("metric").is_in(by_slide)).then(pl.col("slide")).otherwise(pl.coalesce("patient", "slide"))
    joined = joined.with_columns(unit.alias("unit"))
    for inner in (["unit", "slide", "fold"], ["unit", "slide"], ["unit"]):
        joined = joined.group_by([*by, "metric", *inner], maintain_order=True).agg(pl.col("value").mean())
    return joined


def _frame(connection: duckdb.DuckDBPyConnection, sql: str) -> pl.DataFrame:
    frame = pl.from_arrow(connection.sql(sql).to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


def _current(cells: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Keep the newest data revision and protocol version of each task, and the newest code of each variant."""
    newest = cells.sort("run_id", descending=True)
    for what, group, version in (
        ("another revision of the data or the protocol", TASK, DATA_VERSION),
        ("an older version of the model's code", VARIANT, CODE_VERSION),
    ):
        current = newest.group_by(group, maintain_order=True).first().select([*group, *version])
        kept = newest.join(current, on=[*group, *version], how="semi", nulls_equal=True)
        if left_out := len(newest) - len(kept):
            notes.append(f"{left_out} runs of {what} are not shown")
        newest = kept
    return _same_truth(newest, notes)


def _same_truth(cells: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Runs of one fold count only together if they were scored against the same truth: the newest wins."""
    if cells.is_empty():
        return cells
    newest = cells.group_by([*TASK, "fold"], maintain_order=True).agg(pl.col("truth").first())
    kept = cells.join(newest, on=[*TASK, "fold", "truth"], how="semi")
    if left_out := len(cells) - len(kept):
        notes.append(f"{left_out} runs were scored against another truth of the same fold and are not shown")
    return kept
