"""Hand-made runs: a store whose numbers can be worked out on paper."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stbench.matrix import Cell
from stbench.models import Points
from stbench.protocols import Fold, Part
from stbench.stats import gene_moments
from stbench.store import Layout, RunRecord, RunWriter, schema
from stbench.store.record import Cost, Failure, TestSlide
from stbench.store.writer import commit_truth, long_table, moments_table, write_parquet

Matrix = NDArray[np.float32]

SLIDES = {"A1": "A", "A2": "A", "B1": "B", "C1": "C"}
"""Slide and its patient."""


def make_cell(held_out: str = "A", slides: Mapping[str, str] = SLIDES, **changes: Any) -> Cell:
    """A cell that leaves one patient out."""
    train = tuple(Part(s) for s, patient in slides.items() if patient != held_out)
    test = tuple(Part(s) for s, patient in slides.items() if patient == held_out)
    fields: dict[str, Any] = {
        "dataset": "hand",
        "dataset_revision": "r1",
        "dataset_distribution": "hand-made",
        "protocol": "stbench-v1",
        "protocol_version": "1",
        "protocol_distribution": "stbench",
        "fold": Fold(held_out, train, (), test),
        "model": "method",
        "model_distribution": "hand-made",
        "results_version": "1",
        "params": {},
        "params_by_content": {},
        "seed": None,
        "patients": dict(slides),
        "complete_parts": len(slides),
    }
    if "params" in changes:
        changes.setdefault("params_by_content", changes["params"])
    return Cell(**fields | changes)


def genes_of(matrix: Matrix) -> list[str]:
    return [f"G{i + 1}" for i in range(matrix.shape[1])]


def commit_tables(layout: Layout, key: str, tables: Mapping[str, pa.Table]) -> None:
    """Commit a truth that consists of these tables."""

    def write(folder: Path) -> None:
        for name, table in tables.items():
            write_parquet(folder / f"{name}.parquet", table)

    commit_truth(layout, key, write)


def commit_run(
    root: Path,
    cell: Cell,
    run_id: str,
    truth: Mapping[str, Matrix],
    predicted: Mapping[str, Matrix],
    *,
    reference: Mapping[str, Matrix] | None = None,
    metrics: Sequence[Mapping[str, Any]] = (),
    cost: Cost | None = None,
    truth_suffix: str = "",
    points: Mapping[str, Points] | None = None,
) -> Path:
    """Commit a finished run with the given truth, predictions, (spots, genes), and points by test slide."""
    layout = Layout(root).create()
    writer = RunWriter(layout, run_id)
    tested, moments = [], []
    with writer.predictions() as predictions:
        for slide, values in predicted.items():
            key = f"truth-{slide}{truth_suffix}"
            commit_tables(layout, key, truth_tables(key, slide, truth[slide], (reference or {}).get(slide)))
            constants = {"run_id": run_id, "split": "test", "slide": slide}
            moments.append(moments_rows(schema.MOMENTS, constants, truth[slide], values))
            predictions.add(key, slide, genes_of(values), values)
            tested.append(
                TestSlide(slide=slide, patient=cell.patients[slide], truth_key=key, n_spots=len(values)),
            )
    if points:
        with writer.points() as writes:
            for slide, fine in points.items():
                writes.add(slide, genes_of(fine.mean), fine.centers_px, fine.side_um, fine.mean)
    writer.write("moments", pa.concat_tables(moments))
    rows = [{"run_id": run_id, "split": "test", "version": "1", "n_obs": 1, **row} for row in metrics]
    writer.write("metrics", pa.Table.from_pylist(rows, schema=schema.METRICS))
    return writer.commit(make_record(cell, run_id, test=tested, cost=cost or Cost()))


def commit_failure(root: Path, cell: Cell, run_id: str, status: str = "failed") -> Path:
    """Commit a run that failed."""
    failure = Failure(stage="fit", kind="ValueError", message="no", traceback="Traceback …\nValueError: no")
    return RunWriter(Layout(root).create(), run_id).commit(make_record(cell, run_id, status=status, failure=failure))


def make_record(cell: Cell, run_id: str, **fields: Any) -> RunRecord:
    times = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:01+00:00"}
    return RunRecord(**{"run_id": run_id, "cell_key": cell.key, "status": "ok", "cell": cell} | times | fields)


def truth_tables(key: str, slide: str, values: Matrix, reference: Matrix | None = None) -> dict[str, pa.Table]:
    n = len(values)
    columns = {"y_true": values.ravel(order="F"), "measured": np.ones(values.size, bool)}
    constants = {"truth_key": key, "slide": slide}
    spots = [
        {
            "truth_key": key,
            "spot_row": i,
            "spot": f"s{i}",
            "x_px": float(i),
            "y_px": 0.0,
            "array_row": 0.0,
            "array_col": float(i),
            "region": "upper" if i < n // 2 else "lower",
        }
        for i in range(n)
    ]
    info = {
        schema.SLIDE_INFO: json.dumps({"technology": "Visium" if slide.startswith("A") else "ST", "organ": "breast"})
    }
    drawn = values if reference is None else reference
    return {
        "truth": long_table(schema.TRUTH, constants, genes_of(values), n, columns),
        "spots": pa.Table.from_pylist(spots, schema=schema.SPOTS.with_metadata(info)),
        "references": moments_rows(schema.REFERENCES, {**constants, "reference": "neighbour-mean"}, values, drawn),
    }


def moments_rows(shape: pa.Schema, constants: Mapping[str, str], truth: Matrix, predicted: Matrix) -> pa.Table:
    marked = np.arange(truth.shape[1]) < 1
    moments = gene_moments(truth, predicted, np.ones(truth.shape, bool))
    return moments_table(shape, constants, genes_of(truth), moments, {"hvg50": marked, "heg50": ~marked})


def random_slides(seed: int, slides: Sequence[str] = tuple(SLIDES), shape: tuple[int, int] = (12, 3)) -> dict[str, Any]:
    """Random values for each slide, (spots, genes)."""
    rng = np.random.default_rng(seed)
    return {slide: rng.normal(size=shape).astype(np.float32) for slide in slides}


def between() -> Points:
    """Squares on and between the spots of a slide, the last far outside."""
    x = np.append(np.arange(0, 12, 0.5), 1000.0)
    return Points(np.column_stack([x, np.zeros_like(x)]), 0.5, np.random.default_rng(9).random((25, 3), np.float32))


def slide_pcc(truth: Matrix, predicted: Matrix) -> float:
    """Pearson's r of each gene by numpy, mean over genes."""
    return float(np.mean([np.corrcoef(t, p)[0, 1] for t, p in zip(truth.T, predicted.T, strict=True)]))


def commit_many(root: Path, writer: int, runs: int) -> None:
    """What one of several processes does that write to a store at once."""
    values = random_slides(0)
    for number in range(runs):
        cell = make_cell("B", seed=100 * writer + number)
        commit_run(root, cell, f"run-{writer}-{number:03d}", values, {"B1": values["B1"]})
