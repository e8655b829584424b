"""Keeping each slide's target, spots and references once, beside the runs that are scored against it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from stbench.execution.predicted import Array
from stbench.execution.scoring import moments_rows
from stbench.matrix import FoldTask
from stbench.protocols import FittedProtocol
from stbench.slides import Slide
from stbench.store import Layout, schema
from stbench.store.writer import TruthWriter, commit_truth, gene_slices, write_parquet
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
    genes = list(slide.adata.var_names)
    constants = {"truth_key": key, "slide": slide.info.id}

    def write(folder: Path) -> None:
        with TruthWriter(folder / "truth.parquet") as truth:
            for columns in gene_slices(slide.n_spots, len(genes)):
                truth.add(constants, genes[columns], slide.target_of(columns), slide.measured[:, columns])
        references = [
            moments_rows(schema.REFERENCES, {**constants, "reference": name}, slide, values_of, slide.measured)
            for name, values_of in _references(slide).items()
        ]
        write_parquet(folder / "spots.parquet", _spots(key, slide))
        write_parquet(folder / "references.parquet", pa.concat_tables(references))

    commit_truth(layout, key, write)


def _references(slide: Slide) -> dict[str, Callable[[slice], Array]]:
    """Scores to read a table against: the neighbours' true mean and, where a generator knows it, the expectation."""
    from scipy.sparse import csr_array, issparse

    n, (source, target) = slide.n_spots, slide.neighbours("grid")
    beside = csr_array((np.ones(len(source), np.float32), (target, source)), shape=(n, n))
    degree = np.bincount(target, minlength=n)[:, None]

    def neighbour_mean(genes: slice) -> Array:
        values = slide.target_of(genes)
        return np.asarray(np.where(degree > 0, beside @ values / np.maximum(degree, 1), values.mean(0)), np.float32)

    def expected(genes: slice) -> Array:
        chosen = slide.adata.layers["expected"][:, genes]
        return np.asarray(chosen.toarray() if issparse(chosen) else chosen, np.float32)

    return {"neighbour-mean": neighbour_mean} | ({"expected": expected} if "expected" in slide.adata.layers else {})


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
