"""``stbench query``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption

if TYPE_CHECKING:
    from stbench.store import Store


def query(
    sql: Annotated[
        str,
        typer.Argument(
            help="One SELECT over runs, cells, moments, metrics, gene_scores, slide_scores, fold_scores, "
            "predictions, truth, reference_scores."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the answer to this .parquet or .csv file.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Ask the store's Parquet files with SQL (DuckDB)."""
    from stbench.report.console import print_json, print_table
    from stbench.report.table_file import check_suffix, write_table
    from stbench.store import Store

    opened = Store(store)
    if out:
        check_suffix(out)
        with opened.stream(sql) as batches:
            rows = write_table(batches, out)
        _warn(opened)
        if output is Format.JSON:
            print_json({"file": str(out), "rows": rows})
        else:
            print(f"{rows:,} rows in {out}")
        return
    answer = opened.query(sql)
    _warn(opened)
    if output is Format.JSON:
        print_json(answer.to_pylist())
        return
    print_table(answer.column_names, zip(*(column.to_pylist() for column in answer.columns), strict=True))


def _warn(opened: Store) -> None:
    from stbench.report.console import warn

    for problem in opened.problems:
        warn(problem)
