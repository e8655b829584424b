"""``stbench task``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stbench.cli.options import DataDirOption, Format, FormatOption, warn_of_broken_plugins


def task(
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Dataset.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; empty, or not there yet.")],
    protocol: Annotated[
        str | None, typer.Option("--protocol", "-p", help="Protocol; default: the dataset's own.")
    ] = None,
    folds: Annotated[str | None, typer.Option(help="Fold ids, or indexes into the complete list: 0,2-4.")] = None,
    data_dir: DataDirOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Write folds, panels, training targets and test spots for a model that runs elsewhere; no test expression."""
    import sys

    from stbench.cli.cells import say_notes
    from stbench.datasets import DatasetContext
    from stbench.execution.outside.export import export_task, require_room
    from stbench.matrix import plan_tasks
    from stbench.registry import discover
    from stbench.report.console import print_json
    from stbench.slides import cache

    warn_of_broken_plugins()
    require_room(out)
    registry, context = discover(), DatasetContext(cache.root(), data_dir)
    tasks = plan_tasks([dataset], [protocol] if protocol else [], folds, registry, context)
    tasks.require()
    if output is Format.TABLE:
        say_notes(tasks.notes, tasks.skipped)

    def report(line: str) -> None:
        if output is Format.TABLE:
            print(line, file=sys.stderr)

    exported = export_task(tasks, out, registry, context, report)
    files = [path for path in out.rglob("*") if path.is_file()]
    size_mb = sum(path.stat().st_size for path in files) / 1e6
    if output is Format.JSON:
        print_json({"folder": str(out), "files": len(files), "size_mb": size_mb, **exported.model_dump(mode="json")})
        return
    print(f"{len(exported.folds)} folds, {len(files)} files, {size_mb:.1f} MB in {out}; {out / 'README.md'} says how")
