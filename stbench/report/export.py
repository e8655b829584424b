"""`stbench store export`: what a store says, as plain tables for a paper's supplement."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from stbench.errors import StoreError, UsageError
from stbench.registry import Registry
from stbench.report.leaderboard import leaderboard
from stbench.report.table_file import write_table
from stbench.store import Store
from stbench.versions import SCHEMA_VERSION

NOTE = "export.json"
"""Says of a folder what it is and where it came from; a folder that has it may be written anew."""

VIEWS = {
    "cells": "finished cells: parameters, cost, badges, leak ledger",
    "slide_scores": "every metric of every slide",
    "gene_scores": "r, errors and their counts of every gene of every slide",
    "moments": "what they follow from: counts, means, centred squares and products",
    "metrics": "stored metrics, undefined values with their reason",
    "predictions": "predicted values, where they were kept",
    "truth": "what they are compared with",
}
"""Views of the store that can be exported."""
LEADERBOARD = "leaderboard"
TABLES = (LEADERBOARD, *VIEWS)
USUAL = (LEADERBOARD, "cells", "slide_scores", "gene_scores")
"""What a supplement needs; the others can be large."""


@dataclass(frozen=True)
class Chosen:
    """Runs to export; empty for all."""

    datasets: Sequence[str] = ()
    protocols: Sequence[str] = ()
    models: Sequence[str] = ()

    def where(self, columns: Sequence[str]) -> str:
        """The same as a condition over a view that has these columns: the truth is of no model."""
        asked = (("dataset", self.datasets), ("protocol", self.protocols), ("model", self.models))
        terms = [f"{c} IN ({', '.join(map(_quoted, names))})" for c, names in asked if names and c in columns]
        return f" WHERE {' AND '.join(terms)}" if terms else ""


def export(
    store: Store, registry: Registry, folder: Path, tables: Iterable[str], suffix: str, chosen: Chosen
) -> dict[str, int]:
    """Write tables into a folder; returns the number of rows of each.

    Parameters
    ----------
    tables
        Of `TABLES`.
    suffix
        ``.parquet`` or ``.csv``; in CSV lists and mappings are JSON.

    Raises
    ------
    UsageError
        The folder holds something else, or a table is unknown.
    StoreError
        A file cannot be written.
    """
    _refuse_other_content(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error})") from error
    rows = {}
    for table in dict.fromkeys(tables):
        path = folder / f"{table}{suffix}"
        if table == LEADERBOARD:
            rows[table] = write_table(_leaderboard(store, registry, chosen), path)
        elif table in VIEWS:
            shape = store.query(f"SELECT * FROM {table} LIMIT 0").schema  # noqa: S608
            sql = f"SELECT {_columns(shape, suffix)} FROM {table}{chosen.where(shape.names)}"  # noqa: S608
            with store.stream(sql) as batches:
                rows[table] = write_table(batches, path)
        else:
            raise UsageError(f"--table {table!r} is none of {', '.join(TABLES)}")
    _note(folder, store, rows, suffix, chosen)
    return rows


def _columns(shape: pa.Schema, suffix: str) -> str:
    """All columns; for CSV, nested ones as JSON."""
    nested = [f.name for f in shape if pa.types.is_nested(f.type)] if suffix == ".csv" else []
    as_text = ", ".join(f'to_json("{name}")::VARCHAR AS "{name}"' for name in nested)
    return f"* REPLACE ({as_text})" if nested else "*"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _leaderboard(store: Store, registry: Registry, chosen: Chosen) -> pa.RecordBatchReader:
    """Rows of the leaderboard under every metric; lists and mappings are JSON."""
    board = leaderboard(store, registry, list(chosen.datasets) or None, list(chosen.protocols) or None)
    rows = [row for row in board.rows if not chosen.models or row["model"] in chosen.models]
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    return pa.Table.from_pylist(plain).to_reader()


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | tuple | dict) else value


def _refuse_other_content(folder: Path) -> None:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / NOTE).is_file()):
        raise UsageError(
            f"-o {folder} holds something other than an earlier export; give an empty folder or a new name"
        )


def _note(folder: Path, store: Store, rows: dict[str, int], suffix: str, chosen: Chosen) -> None:
    """Say last what the folder holds: an export that was interrupted has no note of its own."""
    import stbench

    versions = {version for record in store.records.values() for version in record.cell.distributions.items()}
    said = {
        "made_by": f"stbench {stbench.__version__}",
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "store_schema": SCHEMA_VERSION,
        "chosen": {name: list(names) for name, names in vars(chosen).items()},
        "plugins": [f"{name} {version}" for name, version in sorted(versions)],
        "tables": {
            f"{table}{suffix}": {"rows": n, "holds": VIEWS.get(table, "the leaderboard under every metric")}
            for table, n in rows.items()
        },
    }
    partial = folder / f".{NOTE}.{os.getpid()}"
    partial.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, folder / NOTE)
