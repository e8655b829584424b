"""Checking predictions, scoring them, and keeping truth and references beside them."""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stbench.errors import PluginError, PredictionError
from stbench.matrix import Cell
from stbench.metrics import MetricFunction, Scores
from stbench.models import Prediction
from stbench.protocols import FittedProtocol
from stbench.registry import MetricSpec
from stbench.slides import Slide
from stbench.stats import gene_moments
from stbench.store import Layout, schema
from stbench.store.writer import commit_truth, gene_groups, long_table, moments_table

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Predicted:
    """Mean and, if the model gives one, standard deviation, (spots, genes)."""

    mean: Array
    std: Array | None = None


def gather(prediction: Prediction, slide: Slide, n_genes: int, folder: Path) -> Predicted:
    """Check a prediction; blocks are gathered in a memory map below `folder`.

    Raises
    ------
    PredictionError
        Wrong shape, values that are not finite, blocks that do not tile the slide.
    """
    expected = (slide.n_spots, n_genes)
    if isinstance(prediction, np.ndarray):
        return Predicted(_checked(prediction, expected, slide))
    if not hasattr(prediction, "__next__"):
        kind = type(prediction).__name__
        raise PredictionError(f"predict returned {kind}; return a numpy array (spots, genes) or an iterator of blocks")
    folder.mkdir(parents=True, exist_ok=True)
    mean = np.lib.format.open_memmap(folder / "mean.npy", mode="w+", dtype=np.float32, shape=expected)
    std: Array | None = None
    stop = 0
    blocks: Iterator[object] = prediction  # a plugin's
    for item in blocks:
        if not (isinstance(item, tuple) and len(item) == 3 and isinstance(item[0], slice)):
            kind = type(item).__name__
            raise PredictionError(f"slide {slide.info.id}: a block is {kind}, not (slice of spots, mean, std or None)")
        rows, block, block_std = item
        if rows.start != stop:
            raise PredictionError(f"slide {slide.info.id}: a block starts at spot {rows.start}, not at {stop}")
        if rows.stop is None or not stop <= rows.stop <= slide.n_spots:
            raise PredictionError(f"slide {slide.info.id}: a block ends at spot {rows.stop} of {slide.n_spots}")
        stop = rows.stop
        shape = (rows.stop - rows.start, n_genes)
        mean[rows] = _checked(block, shape, slide)
        if block_std is not None:
            if std is None:
                std = np.lib.format.open_memmap(folder / "std.npy", mode="w+", dtype=np.float32, shape=expected)
                std[:] = np.nan
            std[rows] = _checked(block_std, shape, slide)
    if stop != slide.n_spots:
        raise PredictionError(f"slide {slide.info.id}: blocks end at spot {stop} of {slide.n_spots}")
    return Predicted(mean, std)


def moments_of(run_id: str, split: str, slide: Slide, predicted: Predicted) -> pa.Table:
    """Rows of ``moments.parquet`` for one slide."""
    constants = {"run_id": run_id, "split": split, "slide": slide.info.id}
    return _moments(schema.MOMENTS, constants, slide, predicted.mean)


def metric_rows(
    run_id: str, slide: Slide, predicted: Predicted, metrics: Sequence[tuple[MetricSpec, MetricFunction]]
) -> list[dict[str, object]]:
    """Rows of ``metrics.parquet`` for one test slide: one per gene for gene metrics, else one for the slide."""
    rows: list[dict[str, object]] = []
    seen = slide.without_expression()
    for spec, function in metrics:
        try:
            scores = function(slide.target, np.asarray(predicted.mean), slide.measured, seen)
            rows += _rows_of(spec, scores, run_id, slide)
        except Exception:  # a third party's metric may raise anything: hours of training do not depend on it
            print(
                f"metric {spec.name} gives nothing for slide {slide.info.id}:\n{traceback.format_exc()}",
                file=sys.stderr,
            )
    return rows


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


def truth_key(cell: Cell, fitted: FittedProtocol, slide: Slide) -> str:
    """Hash of everything a slide's target is: data revision, spots, genes, mask, fitted target parameters."""
    what = {
        "revision": cell.dataset_revision,
        "slide": slide.info.id,
        "spots": list(slide.adata.obs_names),
        "genes": list(slide.adata.var_names),
        "measured": hashlib.sha256(np.packbits(slide.measured).tobytes()).hexdigest(),
        "target": fitted.states,
        "steps": repr(fitted.protocol.target_steps),
        "numerics": cell.specification()["numerics"],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:20]


def keep_truth(layout: Layout, key: str, slide: Slide) -> None:
    """Write a slide's target, spots and references, once."""
    if layout.truth_folder(key).exists():
        return
    genes = list(slide.adata.var_names)
    constants = {"truth_key": key, "slide": slide.info.id}
    parts = []
    for columns, part in gene_groups(slide.target, genes):
        values = {"y_true": part.ravel(order="F"), "measured": slide.measured[:, columns].ravel(order="F")}
        parts.append(long_table(schema.TRUTH, constants, genes[columns], slide.n_spots, values))
    references = [
        _moments(schema.REFERENCES, {**constants, "reference": name}, slide, values)
        for name, values in _references(slide).items()
    ]
    tables = {
        "truth": pa.concat_tables(parts),
        "spots": _spots(key, slide),
        "references": pa.concat_tables(references),
    }
    commit_truth(layout, key, tables)


def _references(slide: Slide) -> dict[str, Array]:
    """Scores to read a table against: the neighbours' true mean and, where a generator knows it, the expectation."""
    source, target = slide.neighbours("grid")
    sums = np.zeros_like(slide.target)
    np.add.at(sums, target, slide.target[source])
    degree = np.bincount(target, minlength=slide.n_spots)[:, None]
    found = {"neighbour-mean": np.where(degree > 0, sums / np.maximum(degree, 1), slide.target.mean(0))}
    if "expected" in slide.adata.layers:
        found["expected"] = np.asarray(slide.adata.layers["expected"], np.float32)
    return found


def _moments(shape: pa.Schema, constants: dict[str, str], slide: Slide, values: Array) -> pa.Table:
    genes = list(slide.adata.var_names)
    tables = []
    for columns, part in gene_groups(values, genes):  # a few genes at a time: memory does not grow with the slide
        moments = gene_moments(slide.target[:, columns], part, slide.measured[:, columns])
        marks = {name: np.asarray(slide.adata.var[name][columns], bool) for name in ("hvg50", "heg50")}
        tables.append(moments_table(shape, constants, genes[columns], moments, marks))
    return pa.concat_tables(tables)


def _spots(key: str, slide: Slide) -> pa.Table:
    n, obs = slide.n_spots, slide.adata.obs
    x, y = slide.centers_px.T
    row, col = slide.array_positions.T
    region = [None if r is None or r != r else str(r) for r in obs["region"]] if "region" in obs else [None] * n
    columns = {
        "truth_key": [key] * n,
        "spot_row": np.arange(n, dtype=np.int32),
        "spot": list(obs.index),
        "x_px": x,
        "y_px": y,
        "array_row": row,
        "array_col": col,
        "region": region,
    }
    return pa.Table.from_arrays([pa.array(columns[f.name]).cast(f.type) for f in schema.SPOTS], schema=schema.SPOTS)


def _checked(values: object, shape: tuple[int, int], slide: Slide) -> Array:
    array = np.asarray(values)
    if array.shape != shape:
        raise PredictionError(
            f"slide {slide.info.id}: the prediction has shape {array.shape}, not {shape} (spots, genes); "
            "predict must return one row per spot and one column per panel gene"
        )
    if not np.issubdtype(array.dtype, np.floating) and not np.issubdtype(array.dtype, np.integer):
        raise PredictionError(f"slide {slide.info.id}: the prediction holds {array.dtype}, not numbers")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise PredictionError(
            f"slide {slide.info.id}: {bad} of {array.size} predicted values are NaN or infinite; predict must return "
            "finite numbers"
        )
    return array
