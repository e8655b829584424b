"""Scoring what was predicted for a slide: moments, and the metrics that do not follow from them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pyarrow as pa

from stbench.errors import PluginError
from stbench.execution.predicted import Array, Mask, Predicted
from stbench.metrics import MetricFunction, Scores, Undefined, scores_of
from stbench.registry import MetricSpec, Registry
from stbench.slides import Slide
from stbench.stats import gene_moments
from stbench.store import schema
from stbench.store.writer import gene_slices, moments_table

T = TypeVar("T")
SEVERAL = 8
"""Groups of genes that are worth threads."""

StoredMetric = tuple[MetricSpec, MetricFunction]
OnError = Callable[[MetricSpec, Slide, Exception], None]


def stored_metrics(registry: Registry) -> list[StoredMetric]:
    """Every metric that is installed and does not follow from moments."""
    return [(r.spec, r.spec.load()) for r in registry.all("metric") if not r.spec.derived]


def moments_of(run_id: str, split: str, slide: Slide, predicted: Predicted) -> pa.Table:
    """Rows of ``moments.parquet`` for one slide."""
    constants = {"run_id": run_id, "split": split, "slide": slide.info.id}
    counted = predicted.counted(slide)
    return moments_rows(schema.MOMENTS, constants, slide, lambda genes: predicted.mean[:, genes], counted)


def moments_rows(
    shape: pa.Schema, constants: dict[str, str], slide: Slide, values_of: Callable[[slice], Array], counted: Mask
) -> pa.Table:
    """Moments of a slide's target and some values over the entries counted, a row per gene.

    Parameters
    ----------
    values_of
        Gives the values of some genes, (spots, genes).
    counted
        (spots, genes).
    """
    genes = list(slide.adata.var_names)
    marked = [name for name in schema.MARKS if name in slide.adata.var]

    def rows_of(columns: slice) -> pa.Table:
        values = np.asarray(values_of(columns))
        moments = gene_moments(slide.target_of(columns), values, counted[:, columns])
        marks = {name: np.asarray(slide.adata.var[name][columns], bool) for name in marked}
        return moments_table(shape, constants, genes[columns], moments, marks)

    # a few genes at a time: memory does not grow with the slide
    return pa.concat_tables(in_turn(rows_of, list(gene_slices(slide.n_spots, len(genes)))))


def in_turn(function: Callable[[slice], T], groups: Sequence[slice]) -> Iterator[T]:
    """Apply a function to groups of genes, several at a time on a large slide: numpy works outside of Python's lock."""
    if len(groups) < SEVERAL:
        yield from map(function, groups)
        return
    import torch

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        yield from pool.map(function, groups)


def print_traceback(spec: MetricSpec, slide: Slide, error: Exception) -> None:
    """Say in the run's log that a metric broke."""
    text = "".join(traceback.format_exception(error))
    print(f"metric {spec.name} gives nothing for slide {slide.info.id}:\n{text}", file=sys.stderr)


def metric_rows(
    run_id: str,
    slide: Slide,
    predicted: Predicted,
    metrics: Sequence[StoredMetric],
    on_error: OnError = print_traceback,
) -> list[dict[str, object]]:
    """Rows of ``metrics.parquet`` for one test slide: one per gene for gene metrics, else one for the slide.

    Metrics take all values at once, which a large slide is too large for: they are null there, ``not_streamable``.

    Parameters
    ----------
    on_error
        Told of a metric that raises, which costs its own rows.
    """
    if slide.is_large:
        return [row for spec, _ in metrics for row in _not_streamable(spec, run_id, slide)]
    rows: list[dict[str, object]] = []
    given = slide.target, np.asarray(predicted.mean), predicted.counted(slide), slide.without_expression(labels=True)
    for function, specs in _by_function(metrics):
        try:
            answer = function(*given)
        except Exception as error:  # a third party's metric may raise anything: hours of training do not depend on it
            for spec in specs:
                on_error(spec, slide, error)
            continue
        for spec in specs:
            try:
                rows += _rows_of(spec, scores_of(spec.name, answer), run_id, slide)
            except Exception as error:  # what it returned may be anything too
                on_error(spec, slide, error)
    return rows


def _by_function(metrics: Iterable[StoredMetric]) -> Iterable[tuple[MetricFunction, list[MetricSpec]]]:
    """Each function once, with the metrics that it computes."""
    shared: dict[int, tuple[MetricFunction, list[MetricSpec]]] = {}
    for spec, function in metrics:
        shared.setdefault(id(function), (function, []))[1].append(spec)
    return shared.values()


def _not_streamable(spec: MetricSpec, run_id: str, slide: Slide) -> list[dict[str, object]]:
    n = slide.adata.n_vars if spec.level == "gene" else 1
    reasons = (Undefined.NOT_STREAMABLE,) * n
    return _rows_of(spec, Scores(np.full(n, np.nan), np.full(n, slide.n_spots), reasons), run_id, slide)


def _rows_of(spec: MetricSpec, scores: Scores, run_id: str, slide: Slide) -> list[dict[str, object]]:
    common = {"run_id": run_id, "split": "test", "slide": slide.info.id, "metric": spec.name, "version": spec.version}
    if any(reason is None and not np.isfinite(v) for v, reason in zip(scores.values, scores.reasons, strict=True)):
        raise PluginError(f"metric {spec.name} returned NaN or infinity without a reason; give one of Undefined")
    if spec.level != "gene":
        value, n_obs, reason = scores.mean()
        return [common | {"gene": None, "value": value, "n_obs": n_obs, "undefined_reason": reason}]
    each = zip(slide.adata.var_names, scores.values, scores.n_obs, scores.reasons, strict=True)
    return [
        common | {"gene": gene, "value": None if reason else float(v), "n_obs": int(n), "undefined_reason": reason}
        for gene, v, n, reason in each
    ]
