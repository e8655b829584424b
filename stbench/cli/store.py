"""``stbench store``."""

from __future__ import annotations

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
