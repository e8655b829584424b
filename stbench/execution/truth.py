"""Keeping each slide's target, spots and references once, beside the runs that are scored against it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from stbench.execution.predicted import Array
from stbench.execution.scoring import moments_rows
from stbench.matrix import FoldTask
from stbench.protocols import FittedProtocol
from stbench.slides import Slide
from stbench.store import Layout, schema
from stbench.store.writer import commit_truth, gene_groups, long_table
from stbench.versions import NUMERICS


def truth_key(task: FoldTask, fitted: FittedProtocol, slide: Slide) -> str:
    """Hash of everything a slide's target is: data revision, spots, genes, mask, fitted target parameters."""
    what = {
        "revision": task.dataset_revision,
        "slide": slide.info.id,
        "spots": list(slide.adata.obs_names),
        "genes": list(slide.adata.var_names),
        "measured": hashlib.sha256(np.packbits(slide.measured).tobytes()).hexdigest(),
        "target": fitted.states,
        "steps": repr(fitted.protocol.target_steps),
        "numerics": NUMERICS,
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
        moments_rows(schema.REFERENCES, {**constants, "reference": name}, slide, values, slide.measured)
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
    table = pa.Table.from_arrays([pa.array(columns[f.name]).cast(f.type) for f in schema.SPOTS], schema=schema.SPOTS)
    stated = {schema.SLIDE_INFO: asdict(slide.info), schema.GENE_SYMBOLS: _symbols(slide)}
    return table.replace_schema_metadata({key: json.dumps(value) for key, value in stated.items()})


def _symbols(slide: Slide) -> dict[str, str]:
    var = slide.adata.var
    named = zip(var.index, var.get("symbol", var.index), strict=True)
    return {str(gene): str(symbol) for gene, symbol in named if symbol != gene}
