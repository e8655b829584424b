"""Scoring stored runs again: ``stbench score --run RUN --metrics NAME``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stbench.cli.options import Format

ALL = "all"


def rescore_runs(run: str, names: Sequence[str], store: Path, output: Format) -> int:
    """Add metrics to stored runs and say how it ended; returns the exit code."""
    from stbench.errors import NotApplicable
    from stbench.execution.progress import Progress
    from stbench.execution.rescore import choose_metrics, rescore, why_not
    from stbench.registry import discover
    from stbench.report.console import print_json, warn
    from stbench.store import Store

    metrics = choose_metrics([name.strip() for name in names if name.strip()], discover())
    opened = Store(store)
    chosen = list(opened.records.items()) if run == ALL else [opened.find(run)]
    for problem in opened.problems:
        warn(problem)
    skipped = {record.run_id: reason for _, record in chosen if (reason := why_not(record))}
    todo = [(folder, record) for folder, record in chosen if record.run_id not in skipped]
    if not todo:
        listed = "; ".join(f"run {run_id}: {reason}" for run_id, reason in skipped.items())
        raise NotApplicable(f"no run in {store} can be scored again{f': {listed}' if listed else ''}")
    done = []
    with Progress(len(todo), quiet=output is Format.JSON) as progress:
        for run_id, reason in skipped.items():
            progress.note(f"skipped: run {run_id}: {reason}")
        for folder, record in todo:
            progress.begin(str(record.cell))
            result = rescore(opened.layout, folder, record, metrics)
            done.append(result)
            said = "; ".join([", ".join(result.added) or "nothing added", *result.problems])
            progress.end(str(record.cell), f"{record.cell}: {said}")
    if output is Format.JSON:
        print_json({"store": str(store), "runs": [vars(result) for result in done], "skipped": skipped})
    else:
        whole = sum(not result.problems for result in done)
        named = ", ".join(spec.name for spec, _ in metrics)
        print(f"{whole} of {len(done)} runs have {named} now, {len(skipped)} skipped; store: {store}")
    return 3 * any(result.problems for result in done)
