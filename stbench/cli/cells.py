"""What commands that fill cells share: executing them, and saying how they ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.cli.options import Format
from stbench.cli.remote_store import upload_after_cells

if TYPE_CHECKING:
    from stbench.execution import RunOptions
    from stbench.matrix import Cell, Plan, Resources, Skipped
    from stbench.store import RunRecord


INTERRUPTED, UNRECORDED = 130, 3
"""Exit codes of a command that did not come to its end: by its user, and because the store was lost."""


def execute(
    run_tasks: Any,
    todo: list[Cell],
    options: RunOptions,
    quiet: bool,
    resources: Mapping[str, Resources] | None = None,
) -> tuple[list[RunRecord], int]:
    """Run cells by an executor, with their progress.

    Parameters
    ----------
    resources
        What cells need, by their keys.

    Returns
    -------
    The records, and the exit code if it did not come to its end, else 0.
    """
    import sys
    from collections import Counter

    from stbench.errors import StoreError
    from stbench.execution.cell_progress import CellProgress
    from stbench.execution.shared_fits import forget_fits
    from stbench.execution.task import Task
    from stbench.execution.worker import new_run_id
    from stbench.matrix import Resources
    from stbench.store import Layout

    if not todo:
        return [], 0
    Layout(options.store).create()
    sharing = Counter(cell.fit_key for cell in todo)
    stated = resources or {}
    tasks = [
        Task(
            cell=cell,
            options=options,
            run_id=new_run_id(),
            shares_fit=sharing[cell.fit_key] > 1,
            resources=stated.get(cell.key, Resources()),
        )
        for cell in todo
    ]
    upload = upload_after_cells(options.store)
    with CellProgress(tasks, quiet) as progress:

        def ended(task: Task, record: RunRecord) -> None:
            progress.ended(task, record)
            upload()

        try:
            run_tasks(tasks, options, progress.started, ended)
        except KeyboardInterrupt:
            progress.note("interrupted; finished cells are kept, the same command goes on from here")
            return progress.records, INTERRUPTED
        except StoreError as error:
            print(f"error: {error}", file=sys.stderr)
            return progress.records, UNRECORDED
        finally:
            forget_fits(options.cache_dir, [key for key, cells in sharing.items() if cells > 1])
    return progress.records, 0


def say_notes(notes: Sequence[str], left_out: Sequence[Skipped]) -> None:
    """Say on standard error what was left out, and why."""
    import sys

    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    for skipped in left_out:
        where = "/".join(p for p in (skipped.dataset, skipped.protocol) if p)
        fold = f" fold {skipped.fold}" if skipped.fold else ""
        print(f"skipped: {where}{fold}: {skipped.reason}", file=sys.stderr)


def summarise(
    planned: Plan,
    todo: list[Cell],
    records: list[RunRecord],
    store: Path,
    output: Format,
    verb: str = "ran",
    more: dict[str, Any] | None = None,
) -> None:
    """Say how it ended.

    Parameters
    ----------
    verb
        What happened to a cell.
    more
        Entries that only some commands add to the JSON.
    """
    from stbench.report.console import print_json

    bad = [record for record in records if record.status != "ok"]
    if output is Format.JSON:
        print_json(
            {
                "store": str(store),
                "planned": len(planned.cells),
                "done_before": len(planned.cells) - len(todo),
                "ok": len(records) - len(bad),
                "failed": [
                    {
                        "run_id": r.run_id,
                        "cell_key": r.cell_key,
                        "cell": str(r.cell),
                        "status": r.status,
                        "stage": r.failure and r.failure.stage,
                        "message": r.failure and f"{r.failure.kind}: {r.failure.message}",
                    }
                    for r in bad
                ],
                "not_started": len(todo) - len(records),
                "skipped": [vars(s) for s in planned.skipped],
                "notes": planned.notes,
                **(more or {}),
            }
        )
        return
    parts = [f"{len(records) - len(bad)} cells {verb}", f"{len(planned.cells) - len(todo)} were done before"]
    parts += [f"{len(bad)} failed"] if bad else []
    parts += [f"{len(todo) - len(records)} not started"] if len(todo) > len(records) else []
    print(f"{', '.join(parts)}; store: {store}")
    for record in bad:
        print(f"  {record.cell}: {record.status}; see `stbench show {record.run_id} --store {store}`")


def exit_code(records: list[RunRecord], ended: int) -> int:
    """0, 3 if a cell failed or could not be recorded, 130 if the user interrupted; `ended` is from `execute`."""
    return ended or 3 * any(record.status != "ok" for record in records)
