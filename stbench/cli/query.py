"""``stbench query``."""

from __future__ import annotations

from typing import Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption


def query(
    sql: Annotated[
        str,
        typer.Argument(
            help="One SELECT over runs, cells, moments, metrics, gene_scores, slide_scores, fold_scores, "
            "predictions, truth, reference_scores."
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Ask the store's Parquet files with SQL (DuckDB)."""
    from stbench.report.console import print_json, print_table, warn
    from stbench.store import Store

    opened = Store(store)
    answer = opened.query(sql)
    for problem in opened.problems:
        warn(problem)
    if output is Format.JSON:
        print_json(answer.to_pylist())
        return
    print_table(answer.column_names, zip(*(column.to_pylist() for column in answer.columns), strict=True))
