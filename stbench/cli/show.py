"""``stbench show``."""

from __future__ import annotations

from typing import Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption


def show(
    run: Annotated[str, typer.Argument(help="Run id or cell key, or the beginning of one.")],
    store: StoreOption = DEFAULT_STORE,
    output: FormatOption = Format.TABLE,
) -> None:
    """One run: parameters, scores, cost, leak ledger, and the traceback if it failed."""
    from stbench.report.console import print_json, print_table
    from stbench.store import Store

    opened = Store(store)
    folder, record = opened.find(run)
    sql = (
        "SELECT split, slide, metric, value FROM slide_scores WHERE run_id = '"  # noqa: S608
        f"{record.run_id}' ORDER BY split, slide, metric"
    )
    scores = opened.query(sql).to_pylist()
    if output is Format.JSON:
        print_json(record.model_dump(mode="json") | {"folder": str(folder), "slide_scores": scores})
        return
    cell, cost = record.cell, record.cost
    facts = {
        "cell": str(cell),
        "status": record.status,
        "run id": record.run_id,
        "cell key": record.cell_key,
        "folder": folder,
        "model": f"{cell.model} (results version {cell.results_version}, {cell.model_distribution} "
        f"{cell.distributions.get(cell.model_distribution, '')})",
        "data": f"{cell.dataset} revision {cell.dataset_revision}",
        "parameters": ", ".join(f"{k}={v}" for k, v in cell.params.items()) or "none",
        "train": _parts(cell.fold.train),
        "validation": _parts(cell.fold.validation),
        "test": _parts(cell.fold.test),
        "genes": record.n_genes,
        "badges": ", ".join(record.badges),
        "leak ledger": ", ".join(f"{k} {v}" for k, v in record.ledger.items()),
        "seconds": ", ".join(f"{k} {v:.2f}" for k, v in cost.seconds.items()),
        "memory": f"{cost.peak_memory_mb:.0f} MB" if cost.peak_memory_mb else None,
        "device": record.device,
        "card": "; ".join(f"{k}: {v}" for k, v in record.card if v is not None) if record.card else None,
        "started": record.started,
        "finished": record.finished,
    }
    print_table(["", ""], [(k, v) for k, v in facts.items() if v not in (None, "")])
    if scores:
        slides = list(dict.fromkeys((s["split"], s["slide"]) for s in scores))
        metrics = list(dict.fromkeys(s["metric"] for s in scores))
        value = {(s["split"], s["slide"], s["metric"]): s["value"] for s in scores}
        rows = [
            [metric, *(_number(value.get((split, slide, metric))) for split, slide in slides)] for metric in metrics
        ]
        columns = ["metric", *(f"{slide} ({split})" for split, slide in slides)]
        print_table(columns, rows, numeric=columns[1:])
    if record.failure:
        print(f"failed in stage {record.failure.stage}: {record.failure.kind}: {record.failure.message}\n")
        print(record.failure.traceback)


def _parts(parts: tuple) -> str:  # type: ignore[type-arg]
    return ", ".join(
        p.slide + (f" {p.block.keep} {p.block.axis} {p.block.start:g}–{p.block.stop:g}" if p.block else "")
        for p in parts
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
