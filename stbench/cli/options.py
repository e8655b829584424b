"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stbench.cli.remote_store import store_folder

StoreOption = Annotated[
    Path,
    typer.Option(
        "--store",
        parser=store_folder,
        metavar="FOLDER|URI",
        envvar="STBENCH_STORE",
        help="Folder that holds all runs, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX.",
        show_default=True,
    ),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="STBENCH_DATA", help="Folder with the dataset in its published layout."),
]


class Format(StrEnum):
    """Output formats of most commands."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="Table for people, JSON for scripts.")]

DEFAULT_STORE = Path("stbench-store")


def parse_device(text: str) -> str:
    """A device as torch names it."""
    import re

    from stbench.errors import UsageError

    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise UsageError(f"--device {text!r} is none of auto, cpu, cuda, cuda:0, mps")
    return text


def warn_of_broken_plugins() -> None:
    """One line per plugin that could not be used."""
    from stbench.registry import discover
    from stbench.report.console import warn

    for plugin in discover().broken:
        warn(
            f"plugin {plugin.entry_point} of {plugin.distribution} is not usable ({plugin.problem}); "
            "`stbench plugins doctor` says more"
        )
