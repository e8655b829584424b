"""``stbench score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stbench.cli.options import (
    DEFAULT_STORE,
    DataDirOption,
    Format,
    FormatOption,
    StoreOption,
    warn_of_broken_plugins,
)


def score(
    file: Annotated[
        Path | None,
        typer.Argument(help="Predictions: .parquet, .csv or .csv.gz with fold, slide, spot, gene, y_pred[, y_std]."),
    ] = None,
    name: Annotated[str | None, typer.Option("--as", help="Name to score them under.")] = None,
    task: Annotated[Path | None, typer.Option("--task", help="Folder that `stbench task` wrote.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Dataset that they predict.")] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", "-p", help="Protocol; default: the dataset's own.")
    ] = None,
    card: Annotated[Path | None, typer.Option("--card", help="YAML file that says what the model is.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Score this stored run again, or all; no FILE then.")] = None,
    metrics: Annotated[str | None, typer.Option("--metrics", help="With --run: metrics to compute, a,b.")] = None,
    store: StoreOption = DEFAULT_STORE,
    data_dir: DataDirOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Score predictions made elsewhere, or stored runs with other metrics."""
    from stbench.cli.rescore import rescore_runs
    from stbench.cli.score_file import FileRequest, score_file
    from stbench.errors import UsageError

    warn_of_broken_plugins()
    if (file is None) == (run is None):
        raise UsageError("give either a FILE of predictions and --as NAME, or --run RUN and --metrics NAME")
    if file is not None:
        if name is None or metrics is not None:
            raise UsageError("a FILE is scored --as NAME with every metric; --metrics goes with --run")
        code = score_file(FileRequest(file, name, task, dataset, protocol, card), store, data_dir, output)
    else:
        given = {"--as": name, "--task": task, "-d": dataset, "-p": protocol, "--card": card}
        stray = [option for option, value in given.items() if value is not None]
        if stray or not run or not metrics:
            raise UsageError(f"--run takes --metrics NAME[,…]{f', and no {stray[0]}' if stray else ''}")
        code = rescore_runs(run, metrics.split(","), store, output)
    raise typer.Exit(code)
