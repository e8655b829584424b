"""Reading a store: records in Python, everything else by DuckDB over an explicit list of Parquet files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from stbench.errors import UsageError
from stbench.store.index import TABLES, Index, Seen, look
from stbench.store.layout import RESCORED, Layout
from stbench.store.record import RunRecord

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from stbench.store.database import Source

RUN_FILES = {
    "moments_files": "moments.parquet",
    "metrics_files": "metrics.parquet",
    "predictions_files": "predictions.parquet",
    "points_files": "points.parquet",
}
TRUTH_FILES = {
    "truth_files": "truth.parquet",
    "spots_files": "spots.parquet",
    "reference_files": "references.parquet",
}


class Store:
    """A store as its readers see it.

    Parameters
    ----------
    root
        The store's folder; one that does not exist is an empty store.
    use_index
        Whether what `stbench store compact` wrote may stand for the runs' own files.

    Attributes
    ----------
    problems
        Sentences about runs that had to be left out: an unreadable record, a truncated file.
    """

    def __init__(self, root: Path, *, use_index: bool = True) -> None:
        self.layout = Layout(root)
        self.layout.check()
        self.problems: list[str] = []
        self._use_index = use_index

    @cached_property
    def records(self) -> dict[Path, RunRecord]:
        """Records of all committed runs by folder, oldest first; damaged runs are left out and reported."""
        found = dict(self._unindexed)
        for folder in self._folders[0]:
            try:
                found[folder] = RunRecord.model_validate_json(self._index.record(folder))
            except ValueError as error:
                self._leave_out(folder, error)
        return dict(sorted(found.items(), key=lambda item: item[1].run_id))

    @cached_property
    def runs(self) -> pa.Table:
        """The view `runs`, for which the records of runs in the index need not be read."""
        import pyarrow as pa

        from stbench.store.runs import runs_table

        read = runs_table(self._unindexed)
        indexed = self._index.runs() if self._folders[0] else None
        return read if indexed is None else pa.concat_tables([indexed, read]).sort_by("run_id")

    def _leave_out(self, folder: Path, error: Exception) -> None:
        self.problems.append(f"{folder / 'run.json'} cannot be read and was left out ({type(error).__name__})")

    def finished(self) -> set[str]:
        """Keys of the cells that are done."""
        import pyarrow.compute as pc

        read = {record.cell_key for record in self._unindexed.values() if record.status == "ok"}
        if not self._folders[0]:
            return read
        indexed = self._index.runs()
        return read | set(indexed.filter(pc.equal(indexed["status"], "ok"))["cell_key"].to_pylist())

    @cached_property
    def _folders(self) -> tuple[list[Path], dict[Path, Seen]]:
        """Folders of committed runs: those the index covers, and the others with what was seen of them."""
        indexed, others = [], {}
        for folder in self.layout.runs.glob("*/*/*/*"):
            seen = look(folder) if folder.is_dir() else {}
            if "run.json" not in seen:
                continue
            if self._index.covers(folder, seen):  # it was whole when it was indexed
                indexed.append(folder)
            else:
                others[folder] = seen
        return indexed, others

    @cached_property
    def _unindexed(self) -> dict[Path, RunRecord]:
        """Records read from the runs' own folders."""
        found = {}
        for folder, seen in self._folders[1].items():
            try:
                record = RunRecord.model_validate_json((folder / "run.json").read_bytes())
            except (OSError, ValueError) as error:
                self._leave_out(folder, error)
                continue
            damaged = [name for name, size in record.files.items() if seen.get(name, (-1, 0))[0] != size]
            if damaged:
                self.problems.append(f"run {record.run_id}: {', '.join(damaged)} is damaged; the run was left out")
                continue
            found[folder] = record
        return found

    def find(self, name: str) -> tuple[Path, RunRecord]:
        """Return the latest run whose id or cell key starts with `name`.

        Raises
        ------
        UsageError
            If there is none, or if several cells match.
        """
        matches = [
            (folder, record)
            for folder, record in self.records.items()
            if record.run_id.startswith(name) or record.cell_key.startswith(name)
        ]
        if not matches:
            raise UsageError(f"no run {name!r} in {self.layout.root}; `stbench ls runs` lists them")
        if len({record.cell_key for _, record in matches}) > 1:
            raise UsageError(f"{name!r} matches runs of several cells; give more of the id")
        return matches[-1]

    def connect(self, *statements: str, held: bool = False) -> duckdb.DuckDBPyConnection:
        """Open an in-memory DuckDB with the store's views and nothing else: no other file, no network.

        Parameters
        ----------
        statements
            What will be asked: only the views that it names are made. None for all views.
        held
            Read the files into memory once, for several queries over them.
        """
        from stbench.store.database import open_database

        return open_database(self.runs, self._source, statements, held=held)

    def query(self, sql: str) -> pa.Table:
        """Run one SELECT over the views.

        Raises
        ------
        UsageError
            More or other than one SELECT, or SQL that DuckDB refuses.
        """
        with self._select(sql) as answer:
            return answer.to_arrow_table()

    @contextmanager
    def stream(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """Run one SELECT like `query`, to be read batch by batch, whatever its size."""
        import pyarrow as pa

        with self._select(sql) as answer:
            try:
                yield pa.RecordBatchReader.from_stream(answer)
            except pa.ArrowException as error:  # what DuckDB finds wrong while the batches are read
                raise UsageError(f"query: {error}") from error

    @cached_property
    def _index(self) -> Index:
        index = Index.newest(self.layout) if self._use_index else Index(self.layout)
        if index.problem:
            self.problems.append(index.problem)
        return index

    @contextmanager
    def _select(self, sql: str) -> Iterator[duckdb.DuckDBPyRelation]:
        import duckdb

        with self.connect(sql) as connection:
            try:
                statements = connection.extract_statements(sql)
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise UsageError("query takes one SELECT over the views; nothing else is run")
                yield connection.sql(sql)
            except duckdb.Error as error:
                raise UsageError(f"query: {error}") from error

    def _source(self, table: str) -> Source:
        from stbench.store.database import Source

        truths = table in TRUTH_FILES
        files = self._truth_files(table) if truths else self._run_files(table)
        index = self._index.file(table)
        return Source(files, index, self._index.stale(truths=truths) if index else ())

    def _run_files(self, table: str) -> list[str]:
        records = self._unindexed if table in TABLES else self.records
        done = {folder: record for folder, record in records.items() if record.status == "ok"}
        if table == "rescored_files":
            return self._rescored_files(done)
        name = RUN_FILES[table]
        return [self._absolute(folder / name) for folder, record in done.items() if name in record.files]

    def _absolute(self, path: Path) -> str:
        """A path below the store as DuckDB wants it; resolving each of thousands takes a second."""
        return os.path.join(self._resolved, self.layout.inside(path))

    @cached_property
    def _resolved(self) -> str:
        return str(self.layout.root.resolve())

    def _rescored_files(self, folders: Iterable[Path]) -> list[str]:
        paths = [path for folder in folders for path in sorted(folder.glob(RESCORED.format(metric="*")))]
        whole = [path for path in paths if _ends_as_parquet(path)]
        self.problems += [f"{path} is damaged and was left out; score it again" for path in paths if path not in whole]
        return [self._absolute(path) for path in whole]

    def _truth_files(self, table: str) -> list[str]:
        import pyarrow.compute as pc

        done = self.runs.filter(pc.equal(self.runs["status"], "ok"))["truth_keys"]
        keys = {key for chunk in done.chunks for key in pc.unique(chunk.items).to_pylist()}
        folders = [self.layout.truth_folder(key) for key in sorted(keys)]
        if table in TABLES:
            folders = [f for f in folders if not (f.is_dir() and self._index.covers(f, look(f)))]
        paths = [folder / TRUTH_FILES[table] for folder in folders]
        whole = [self._absolute(path) for path in paths if _ends_as_parquet(path)]
        if len(whole) < len(paths):
            damaged = len(paths) - len(whole)
            self.problems.append(f"{damaged} {TRUTH_FILES[table]} below {self.layout.truth} are damaged")
        return whole


def _ends_as_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-4, 2)
            return file.read() == b"PAR1"
    except OSError:
        return False
