"""The commands; each lives in a file of its own and imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from stbench import __version__
from stbench.cli import (
    compare,
    data,
    enrich,
    info,
    leaderboard,
    ls,
    plot,
    plugins,
    predict,
    query,
    report,
    reproduce,
    run,
    score,
    show,
    status,
    store,
    task,
)

app = typer.Typer(
    name="stbench",
    help="A benchmark for spatial gene-expression prediction from H&E images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"stbench {__version__}")
        raise typer.Exit


@app.callback()
def _stbench(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("run")(run.run)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("task")(task.task)
app.command("score")(score.score)
app.command("predict")(predict.predict)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("enrich")(enrich.enrich)
app.command("status")(status.status)
app.command("show")(show.show)
app.command("reproduce")(reproduce.reproduce)
app.command("query")(query.query)
app.command("ls")(ls.ls)
app.command("info")(info.info)
app.add_typer(plot.app, name="plot")
app.add_typer(data.app, name="data")
app.add_typer(store.app, name="store")
app.add_typer(plugins.app, name="plugins")
