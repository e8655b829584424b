"""``stbench ls``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption, warn_of_broken_plugins


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    DATASETS = "datasets"
    METRICS = "metrics"
    PROTOCOLS = "protocols"
    ENCODERS = "encoders"
    EXECUTORS = "executors"
    RUNS = "runs"


def ls(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    store: StoreOption = DEFAULT_STORE,
    output: FormatOption = Format.TABLE,
) -> None:
    """List what is installed, or the runs of a store."""
    from stbench.report.console import print_json, print_table

    if kind is Kind.RUNS:
        rows = _runs(store)
    else:
        from stbench.registry import discover

        warn_of_broken_plugins()
        rows = [_row(r) for r in discover().all(kind.value.removesuffix("s"))]
    if output is Format.JSON:
        print_json(rows)
        return
    columns = list(rows[0]) if rows else ["name"]
    print_table(columns, [[", ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows])


def _row(registered: Any) -> dict[str, Any]:
    spec = registered.spec
    row = {"name": spec.name, "title": spec.title}
    if spec.kind == "model":
        row |= {"kind": "control" if spec.control else "method", "presets": sorted(spec.presets)}
    if spec.kind == "metric":
        row |= {
            "level": spec.level,
            "better": "higher" if spec.direction == "max" else "lower",
            "version": spec.version,
        }
    return row | {"from": f"{registered.distribution} {registered.version}"}


def _runs(store: Any) -> list[dict[str, Any]]:
    from stbench.store import Store

    return [
        {
            "run_id": record.run_id,
            "cell_key": record.cell_key,
            "status": record.status,
            "dataset": record.cell.dataset,
            "protocol": record.cell.protocol,
            "fold": record.cell.fold.id,
            "model": record.cell.model,
            "seed": record.cell.seed,
            "finished": record.finished,
        }
        for record in Store(store).records.values()
    ]
