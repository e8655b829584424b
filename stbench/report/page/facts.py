"""What a reader checks before believing a number: leaks, failures, versions."""

from __future__ import annotations

from typing import Any

from stbench.report.scores import Scores
from stbench.report.sections import variant_of
from stbench.store import RunRecord, Store

TaskName = tuple[str, str]
WORST_FIRST = ("yes", "unknown", "no")


def ledgers(store: Store, scores: Scores) -> dict[TaskName, dict[str, dict[str, str]]]:
    """Leak ledger of each task's variants: of several runs, the worst entry."""
    found: dict[TaskName, dict[str, dict[str, str]]] = {}
    for record in _shown(store, scores):
        variants = found.setdefault((record.cell.dataset, record.cell.protocol), {})
        entries = variants.setdefault(variant_of(record), {})
        for kind, value in record.ledger.items():
            entries[kind] = min(value, entries.get(kind, "no"), key=WORST_FIRST.index)
    return found


def failures(store: Store) -> list[dict[str, Any]]:
    """The last attempt at every cell that never succeeded; tracebacks stay in the store."""
    done = store.finished()
    last = {r.cell_key: r for r in store.records.values() if r.status != "ok" and r.cell_key not in done}
    return [
        {
            "dataset": r.cell.dataset,
            "protocol": r.cell.protocol,
            "fold": r.cell.fold.id,
            "model": r.cell.model,
            "params": r.cell.params,
            "seed": r.cell.seed,
            "status": r.status,
            "stage": r.failure and r.failure.stage,
            "message": r.failure and f"{r.failure.kind}: {r.failure.message}",
            "run_id": r.run_id,
        }
        for r in last.values()
    ]


def versions(store: Store, scores: Scores) -> dict[TaskName, dict[str, Any]]:
    """Data revision, protocol version, number of runs, and the software they were made with."""
    found: dict[TaskName, dict[str, Any]] = {}
    for record in _shown(store, scores):
        cell = record.cell
        task = found.setdefault(
            (cell.dataset, cell.protocol),
            {
                "dataset_revision": cell.dataset_revision,
                "protocol_version": cell.protocol_version,
                "runs": 0,
                "stbench": [],
                "devices": [],
            },
        )
        task["runs"] += 1
        made_with = record.environment.get("packages", {}).get("stbench")
        for known, value in ((task["stbench"], made_with), (task["devices"], record.device)):
            if value and value not in known:
                known.append(value)
    return found


def _shown(store: Store, scores: Scores) -> list[RunRecord]:
    shown = set(scores.cells["run_id"])
    return [record for record in store.records.values() if record.run_id in shown]
