"""``stbench status``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption

if TYPE_CHECKING:
    from stbench.store import Layout

SQL = """
SELECT dataset, protocol, model,
       count(DISTINCT cell_key) FILTER (status = 'ok') AS done,
       count(DISTINCT cell_key) FILTER (cell_key NOT IN (SELECT cell_key FROM cells)) AS failed,
       count(*) AS runs,
       round(sum(total_seconds), 1) AS seconds,
       max(finished) AS last
FROM runs GROUP BY ALL ORDER BY ALL
"""

COUNTS = ("done", "failed", "runs", "running", "queued")


def status(store: StoreOption = DEFAULT_STORE, output: FormatOption = Format.TABLE) -> None:
    """What a store holds: cells done and failed by dataset, protocol and model, and those in a Slurm queue."""
    from stbench.report.console import print_json, print_table, warn
    from stbench.store import Store

    opened = Store(store)
    rows, silent = _with_queue(opened.query(SQL).to_pylist(), opened.layout)
    for problem in opened.problems:
        warn(problem)
    for name in silent:
        warn(f"Slurm does not say how the jobs {name} stand (squeue); ask on a node that knows the cluster")
    if output is Format.JSON:
        print_json(rows)
        return
    queue = ("running", "queued") if any(row["running"] or row["queued"] for row in rows) else ()
    columns = ["dataset", "protocol", "model", "done", "failed", *queue, "runs", "seconds", "last"]
    numeric = ("done", "failed", *queue, "runs", "seconds")
    print_table(columns, [[row[name] for name in columns] for row in rows], title=f"store {store}", numeric=numeric)
    for folder, record in opened.records.items():
        if record.status != "ok" and record.cell_key not in opened.finished():
            why = f"{record.failure.kind}: {record.failure.message}" if record.failure else ""
            print(f"{record.status} {record.cell} ({folder.name}): {why}")


def _with_queue(rows: list[dict[str, Any]], layout: Layout) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows that count cells in the queue too, and names of jobs of which Slurm says nothing."""
    from stbench.execution.slurm_jobs import Submission, alive

    silent = []
    by_group = {(row["dataset"], row["protocol"], row["model"]): row | {"running": 0, "queued": 0} for row in rows}
    for submission in Submission.all_of(layout):
        states = submission.states()
        if states is None:
            silent.append(submission.name)
            continue
        for index, task in enumerate(submission.tasks):
            if not alive(state := states.get(index)):
                continue
            group = (task.cell.dataset, task.cell.protocol, task.cell.model)
            none = dict(zip(("dataset", "protocol", "model"), group, strict=True)) | dict.fromkeys(COUNTS, 0)
            row = by_group.setdefault(group, none | {"seconds": None, "last": None})
            row["queued" if state == "PENDING" else "running"] += 1
    return [by_group[group] for group in sorted(by_group)], silent
