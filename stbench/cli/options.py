"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

StoreOption = Annotated[
    Path, typer.Option("--store", envvar="STBENCH_STORE", help="Folder that holds all runs.", show_default=True)
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


def warn_of_broken_plugins() -> None:
    """One line per plugin that could not be used."""
    from stbench.registry import discover
    from stbench.report.console import warn

    for plugin in discover().broken:
        warn(
            f"plugin {plugin.entry_point} of {plugin.distribution} is not usable ({plugin.problem}); "
            "`stbench plugins doctor` says more"
        )
