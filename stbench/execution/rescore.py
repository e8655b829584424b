"""Scoring stored predictions with other metrics: no model, no data set, nothing but the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from stbench.errors import StoreError, UsageError
from stbench.execution.scoring import StoredMetric, metric_rows
from stbench.execution.stored import stored_prediction, stored_slide
from stbench.registry import MetricSpec, Registry
from stbench.slides import Slide
from stbench.store import Layout, RunRecord, schema
from stbench.store.writer import add_metric


@dataclass
class Rescored:
    """What became of one run: metrics that were added, and sentences about those that were not."""

    run_id: str
    cell: str
    added: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def choose_metrics(names: Sequence[str], registry: Registry) -> list[StoredMetric]:
    """Metrics that a re-score can compute.

    Raises
    ------
    UsageError
        An unknown metric, or one that follows from the stored moments.
    """
    specs: list[MetricSpec] = [registry.get("metric", name).spec for name in dict.fromkeys(names)]
    if derived := [spec.name for spec in specs if spec.derived]:
        raise UsageError(
            f"--metrics: {', '.join(derived)} follow from the stored moments and are always there; "
            "name metrics of their own"
        )
    return [(spec, spec.load()) for spec in specs]


def why_not(record: RunRecord) -> str | None:
    """Why a run cannot be scored again, if it cannot."""
    if record.status != "ok":
        return f"its status is {record.status}"
    if "predictions.parquet" not in record.files:
        return "it kept no predictions; run it with --keep predictions"
    return None


def rescore(layout: Layout, folder: Path, record: RunRecord, metrics: Sequence[StoredMetric]) -> Rescored:
    """Compute metrics of a stored run and add them to it.

    A metric that raises for a slide is reported, and the run stays without it, or with what it had of it.
    """
    result = Rescored(record.run_id, str(record.cell))
    broken: set[str] = set()

    def note(spec: MetricSpec, slide: Slide, error: Exception) -> None:
        broken.add(spec.name)
        text = f"{type(error).__name__}: {error}"
        result.problems.append(f"metric {spec.name} gives nothing for slide {slide.info.id}: {text}")

    rows: list[dict[str, object]] = []
    try:
        for test in record.test:
            slide = stored_slide(layout, record, test)
            rows += metric_rows(record.run_id, slide, stored_prediction(folder, test, slide), metrics, on_error=note)
    except (OSError, pa.ArrowException, StoreError) as error:
        result.problems.append(f"what it was scored on cannot be read ({str(error).splitlines()[0]})")
        return result
    for spec, _ in metrics:
        if spec.name in broken:
            continue
        own = [row for row in rows if row["metric"] == spec.name]
        add_metric(layout, folder, spec.name, pa.Table.from_pylist(own, schema=schema.METRICS))
        result.added.append(spec.name)
    return result
