"""``stbench store``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption

app = typer.Typer(help="The store of runs.", no_args_is_help=True)


@app.callback()
def _store() -> None:
    pass


@app.command("compact")
def compact(store: StoreOption = DEFAULT_STORE) -> None:
    """Gather the small files of all runs in `index/`, for speed; the runs stay, and deleting it loses nothing."""
    from stbench.store.compact import compact as write

    done = write(store)
    print(f"{done.covered} of {done.runs} runs in the index" + ("" if done.written else "; nothing has changed"))


@app.command("verify")
def verify(store: StoreOption = DEFAULT_STORE, output: FormatOption = Format.TABLE) -> None:
    """Read every file of the store; exit code 1 if one is damaged or missing."""
    from stbench.report.console import print_json
    from stbench.store.verify import verify as check

    found = check(store)
    if output is Format.JSON:
        print_json({**vars(found), "debris": [str(path) for path in found.debris]})
    else:
        for problem in found.problems:
            print(f"✗ {problem}")
        print(f"{found.runs} runs, {found.finished} cells finished, {len(found.problems)} problems")
        if found.unindexed:
            print(f"the index is behind by {found.unindexed} runs; stbench store compact")
        if found.debris:
            print(f"{len(found.debris)} unfinished runs in {store}/.staging; they count for nothing")
    if found.problems:
        raise typer.Exit(1)


@app.command("gc")
def gc(
    cache: Annotated[
        str | None, typer.Option(help="Also bound the cache: 50GB, 500MB. What was not used for longest goes first.")
    ] = None,
    older_than: Annotated[
        str, typer.Option(help="When debris counts as dead whose writer this machine does not know.")
    ] = "7d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    store: StoreOption = DEFAULT_STORE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Remove debris of dead writers, failed runs whose cell a later run finished, and truths no run refers to.

    Runs with status ok always stay. Of the cache only what a run makes again goes: never downloads, weights, recorded
    checksums and mirrors of remote stores, nor what was used within the hour.
    """
    from stbench.cli.sizes import parse_size, show_size
    from stbench.execution.duration import parse_duration
    from stbench.report.console import print_json
    from stbench.slides.cache import root
    from stbench.slides.cache_size import bound_cache
    from stbench.store.gc import collect

    limit = parse_size(cache) if cache is not None else None
    done = collect(store, parse_duration(older_than), dry_run=dry_run)
    bounded = bound_cache(root(), limit, dry_run=dry_run) if limit is not None else None
    if output is Format.JSON:
        removed = [{"path": str(left.path), "why": left.why, "bytes": left.size} for left in done.removed]
        said = {"dry_run": dry_run, "store": removed, "alive": done.alive, "notes": done.notes, "cache": None}
        if bounded:
            entries = [{"path": str(entry.path), "bytes": entry.size} for entry in bounded.removed]
            said["cache"] = {"bytes_before": bounded.size, "bytes_freed": bounded.freed, "removed": entries}
        print_json(said)
        return
    verb = "would go" if dry_run else "removed"
    for left in done.removed:
        print(f"{verb}: {left.path} ({left.why})")
    freed = sum(left.size for left in done.removed)
    print(f"store: {len(done.removed)} {verb}, {show_size(freed)}; {done.alive} unfinished runs left alone")
    for note in done.notes:
        print(f"note: {note}")
    if bounded and limit is not None:
        left_over = bounded.size - bounded.freed
        print(
            f"cache: {len(bounded.removed)} entries {verb}, {show_size(bounded.freed)}; "
            f"{show_size(left_over)} left of {show_size(bounded.size)}"
        )
        if left_over > limit:
            print(
                f"note: more than {show_size(limit)}: {show_size(bounded.kept)} are downloads, weights and mirrors, "
                "which stay; the rest was used within the hour"
            )


@app.command("merge")
def merge(
    others: Annotated[list[Path], typer.Argument(metavar="OTHER...", help="Stores whose runs are copied.")],
    store: StoreOption = DEFAULT_STORE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Copy the runs of other stores into this one, checked, each whole or not at all; again adds nothing.

    Damaged runs are named and left out, with exit code 3. A cell that several stores finished counts once.
    """
    from stbench.report.console import print_json, warn
    from stbench.store.merge import merge as copy

    done = [(other, copy(store, other)) for other in others]
    if output is Format.JSON:
        print_json([{"store": str(other), **vars(merged)} for other, merged in done])
    else:
        for other, merged in done:
            for sentence in merged.skipped:
                warn(sentence)
            counts = f"{merged.added} runs added, {merged.present} were here before"
            print(f"{other}: {counts}, {len(merged.skipped)} left out")
    if any(merged.skipped for _, merged in done):
        raise typer.Exit(3)


class ExportFormat(StrEnum):
    """File formats of an export."""

    PARQUET = "parquet"
    CSV = "csv"


@app.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder: empty, new, or an earlier export.")],
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            help="leaderboard, cells, slide_scores, gene_scores (these four by default), moments, metrics, predictions "
            "or truth; repeatable.",
        ),
    ] = None,
    dataset: Annotated[list[str] | None, typer.Option("--dataset", "-d", help="Only this dataset; repeatable.")] = None,
    protocol: Annotated[
        list[str] | None, typer.Option("--protocol", "-p", help="Only this protocol; repeatable.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="Only this model; repeatable.")] = None,
    output: Annotated[ExportFormat, typer.Option("--format")] = ExportFormat.CSV,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write the store's tables as CSV or Parquet, for a paper's supplement, with a note of where they came from."""
    from stbench.registry import discover
    from stbench.report.console import warn
    from stbench.report.export import USUAL, Chosen
    from stbench.report.export import export as write
    from stbench.store import Store

    opened = Store(store)
    chosen = Chosen(tuple(dataset or ()), tuple(protocol or ()), tuple(model or ()))
    rows = write(opened, discover(), out, table or USUAL, f".{output.value}", chosen)
    for problem in opened.problems:
        warn(problem)
    for name, number in rows.items():
        print(f"{out / f'{name}.{output.value}'}: {number:,} rows")
