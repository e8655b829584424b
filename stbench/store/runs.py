"""The view `runs`: one row per run, made from its record or read from the index."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from stbench.store.record import RunRecord


def runs_schema() -> pa.Schema:
    """Columns of the view `runs`."""
    text, number, integer = pa.string(), pa.float64(), pa.int64()
    mapping = pa.map_(text, text)
    columns = {
        "run_id": text, "cell_key": text, "status": text,
        "dataset": text, "dataset_revision": text, "protocol": text, "protocol_version": text, "fold": text,
        "model": text, "distribution": text, "results_version": text, "source_digest": text,
        "params": text, "preset": text,
        "seed": integer, "precision": text, "control": pa.bool_(),
        "badges": pa.list_(text), "ledger": mapping, "patients": mapping, "truth_keys": mapping,
        "test_parts": integer, "covered_parts": number, "complete_parts": integer, "n_genes": integer,
        "fit_seconds": number, "predict_seconds": number, "total_seconds": number,
        "peak_memory_mb": number, "peak_gpu_memory_mb": number, "n_parameters": integer, "device": text,
        "started": text, "finished": text,
        "failure_stage": text, "failure": text, "traceback": text, "folder": text,
    }  # fmt: skip
    return pa.schema(list(columns.items()))


def runs_table(records: Mapping[Path, RunRecord]) -> pa.Table:
    """One row per record; ``folder`` as it is spelt in `records`."""
    return pa.Table.from_pylist([_row(folder, record) for folder, record in records.items()], schema=runs_schema())


def _row(folder: Path, record: RunRecord) -> dict[str, Any]:
    cell, cost, failure = record.cell, record.cost, record.failure
    return {
        "run_id": record.run_id,
        "cell_key": record.cell_key,
        "status": record.status,
        "dataset": cell.dataset,
        "dataset_revision": cell.dataset_revision,
        "protocol": cell.protocol,
        "protocol_version": cell.protocol_version,
        "fold": cell.fold.id,
        "model": cell.model,
        "distribution": cell.model_distribution,
        "results_version": cell.results_version,
        "source_digest": cell.source_digest,
        "params": json.dumps(cell.params, sort_keys=True),
        "preset": cell.preset,
        "seed": cell.seed,
        "precision": cell.precision,
        "control": cell.control,
        "badges": record.badges,
        "ledger": record.ledger,
        "patients": cell.patients,
        "truth_keys": {t.slide: t.truth_key for t in record.test},
        "test_parts": len(cell.fold.test),
        "covered_parts": len(cell.fold.test) - sum(1 - t.coverage for t in record.test),
        "complete_parts": cell.complete_parts,
        "n_genes": record.n_genes,
        "fit_seconds": None if cost.gpu_shared else cost.seconds.get("fit"),
        "predict_seconds": None if cost.gpu_shared else cost.seconds.get("predict"),
        "total_seconds": sum(cost.seconds.values()),
        "peak_memory_mb": cost.peak_memory_mb,
        "peak_gpu_memory_mb": cost.peak_gpu_memory_mb,
        "n_parameters": cost.n_parameters,
        "device": record.device,
        "started": record.started,
        "finished": record.finished,
        "failure_stage": failure and failure.stage,
        "failure": failure and f"{failure.kind}: {failure.message}",
        "traceback": failure and failure.traceback,
        "folder": str(folder),
    }
