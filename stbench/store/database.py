"""An in-memory DuckDB over a store's files: the views that a query names, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stbench.store import schema

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

VIEWS = Path(__file__).with_name("views.sql")

SCHEMAS = {
    "moments_files": schema.MOMENTS,
    "metrics_files": schema.METRICS,
    "rescored_files": schema.METRICS,
    "predictions_files": schema.PREDICTIONS,
    "points_files": schema.POINTS,
    "truth_files": schema.TRUTH,
    "spots_files": schema.SPOTS,
    "reference_files": schema.REFERENCES,
}
"""Tables below the views."""

ANY_VIEW = {"information_schema", "pg_catalog", "sqlite_master", "query", "query_table", "show", "summarize"}
"""Words of a query that may reach a view without naming it."""


@dataclass
class Source:
    """Where the rows of a table are.

    Attributes
    ----------
    files
        Parquet files that are read one by one.
    index
        One Parquet file with the rows of many, if there is one.
    stale
        Numbers of the folders (column `schema.SOURCE`) whose rows in `index` no longer count.
    """

    files: list[str] = field(default_factory=list)
    index: str | None = None
    stale: Sequence[int] = ()

    @property
    def paths(self) -> list[str]:
        """All files that DuckDB may open."""
        return self.files + ([self.index] if self.index else [])

    def sql(self) -> list[str]:
        """SELECT statements whose rows together are the table."""
        parts = []
        if self.files:
            listed = ", ".join(map(_quoted, self.files))
            parts.append(f"SELECT * FROM read_parquet([{listed}], union_by_name=true)")  # noqa: S608
        if self.index:
            kept = f" WHERE {schema.SOURCE} NOT IN ({', '.join(map(str, self.stale))})" if self.stale else ""
            parts.append(f"SELECT * EXCLUDE {schema.SOURCE} FROM read_parquet({_quoted(self.index)}){kept}")  # noqa: S608
        return parts


def open_database(
    runs: pa.Table, source: Callable[[str], Source], statements: Sequence[str] = (), *, held: bool = False
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB that can read the store's files and nothing else: no other file, no network.

    Parameters
    ----------
    source
        Where the rows of a table of `SCHEMAS` are; asked only for those that are needed.
    statements
        Only the views that these name are made; none for all views.
    held
        Read the files once, into memory.
    """
    import duckdb

    made, tables = _needed(statements)
    connection = duckdb.connect(":memory:")
    connection.execute("SET preserve_insertion_order = false")  # thousands of small files then load on all cores
    _register(connection, "runs", runs)
    allowed: list[str] = []
    for table in tables:
        where = source(table)
        allowed += where.paths
        parts = where.sql()
        # without rows, it names the columns that no file has: those of an empty store, and those of old files
        shape = f"{table}_shape" if parts else table
        _register(connection, shape, SCHEMAS[table].empty_table())
        if parts:
            union = " UNION ALL BY NAME ".join([*parts, f"SELECT * FROM {shape}"])  # noqa: S608
            connection.execute(f"CREATE {'TABLE' if held else 'VIEW'} {table} AS {union}")
    for statement in made:
        connection.execute(statement)
    connection.execute("SET allowed_paths = ?", [allowed])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _needed(statements: Sequence[str]) -> tuple[list[str], list[str]]:
    """Statements of ``views.sql`` and tables below them that some SQL can reach; binding a file costs a millisecond."""
    definitions = re.sub(r"--.*", "", VIEWS.read_text()).split(";\n")
    words = _words(statements)
    everything = not statements or words & ANY_VIEW or any(word.startswith("duckdb_") for word in words)
    made = []
    for definition in reversed(definitions):
        view = re.search(r"CREATE VIEW (\w+)", definition)
        if view is None or everything or view[1] in words:
            made.append(definition)
            words |= _words([definition]) if view else set()
    return made[::-1], [table for table in SCHEMAS if table in words]


def _words(statements: Iterable[str]) -> set[str]:
    return {word for statement in statements for word in re.findall(r"\w+", statement.lower())}


def _register(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    connection.register("_table", table)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _table")  # noqa: S608
    connection.unregister("_table")


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"
