"""Reading a store: records in Python, everything else by DuckDB over an explicit list of Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from stbench.errors import UsageError
from stbench.store.layout import RESCORED, Layout
from stbench.store.record import RunRecord

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

VIEWS = Path(__file__).with_name("views.sql")

RUN_FILES = {"moments": "moments_files", "metrics": "metrics_files", "predictions": "predictions_files"}
TRUTH_FILES = {"truth": "truth_files", "spots": "spots_files", "references": "reference_files"}


class Store:
    """A store as its readers see it.

    Parameters
    ----------
    root
        The store's folder; one that does not exist is an empty store.

    Attributes
    ----------
    problems
        Sentences about runs that had to be left out: an unreadable record, a truncated file.
    """

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.layout.check()
        self.problems: list[str] = []

    @cached_property
    def records(self) -> dict[Path, RunRecord]:
        """Records of all committed runs by folder, oldest first; damaged runs are left out and reported."""
        found = {}
        for path in self.layout.runs.glob("*/*/*/*/run.json"):
            try:
                record = RunRecord.model_validate_json(path.read_bytes())
            except (OSError, ValidationError, ValueError) as error:
                self.problems.append(f"{path} cannot be read and was left out ({type(error).__name__})")
                continue
            damaged = [name for name, size in record.files.items() if _size(path.parent / name) != size]
            if damaged:
                self.problems.append(f"run {record.run_id}: {', '.join(damaged)} is damaged; the run was left out")
                continue
            found[path.parent] = record
        return dict(sorted(found.items(), key=lambda item: item[1].run_id))

    def finished(self) -> set[str]:
        """Keys of the cells that are done."""
        return {record.cell_key for record in self.records.values() if record.status == "ok"}

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

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open an in-memory DuckDB with the store's views and nothing else: no other file, no network."""
        import duckdb

        from stbench.store import schema

        files = {view: self._run_files(name) for name, view in RUN_FILES.items()} | {
            view: self._truth_files(name) for name, view in TRUTH_FILES.items()
        }
        files["rescored_files"] = self._rescored_files()
        schemas = {
            "moments_files": schema.MOMENTS,
            "metrics_files": schema.METRICS,
            "rescored_files": schema.METRICS,
            "predictions_files": schema.PREDICTIONS,
            "truth_files": schema.TRUTH,
            "spots_files": schema.SPOTS,
            "reference_files": schema.REFERENCES,
        }
        connection = duckdb.connect(":memory:")
        connection.register("_runs", runs_table(self.records))
        connection.execute("CREATE TABLE runs AS SELECT * FROM _runs")
        connection.unregister("_runs")
        for view, paths in files.items():
            if paths:
                listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
                connection.execute(
                    f"CREATE VIEW {view} AS SELECT * FROM read_parquet([{listed}], union_by_name=true)"  # noqa: S608
                )
            else:
                connection.register(f"_{view}", schemas[view].empty_table())
                connection.execute(f"CREATE TABLE {view} AS SELECT * FROM _{view}")  # noqa: S608
                connection.unregister(f"_{view}")
        connection.execute(VIEWS.read_text())
        connection.execute("SET allowed_paths = ?", [[path for paths in files.values() for path in paths]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

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

    @contextmanager
    def _select(self, sql: str) -> Iterator[duckdb.DuckDBPyRelation]:
        import duckdb

        with self.connect() as connection:
            try:
                statements = connection.extract_statements(sql)
                if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                    raise UsageError("query takes one SELECT over the views; nothing else is run")
                yield connection.sql(sql)
            except duckdb.Error as error:
                raise UsageError(f"query: {error}") from error

    def _run_files(self, name: str) -> list[str]:
        done = (f for f, r in self.records.items() if r.status == "ok" and f"{name}.parquet" in r.files)
        return [str((folder / f"{name}.parquet").resolve()) for folder in done]

    def _rescored_files(self) -> list[str]:
        done = (folder for folder, record in self.records.items() if record.status == "ok")
        paths = [path for folder in done for path in sorted(folder.glob(RESCORED.format(metric="*")))]
        whole = [path for path in paths if _ends_as_parquet(path)]
        self.problems += [f"{path} is damaged and was left out; score it again" for path in paths if path not in whole]
        return [str(path.resolve()) for path in whole]

    def _truth_files(self, name: str) -> list[str]:
        keys = {t.truth_key for r in self.records.values() if r.status == "ok" for t in r.test}
        paths = [self.layout.truth_folder(key) / f"{name}.parquet" for key in sorted(keys)]
        whole = [str(path.resolve()) for path in paths if _ends_as_parquet(path)]
        if len(whole) < len(paths):
            self.problems.append(f"{len(paths) - len(whole)} {name}.parquet below {self.layout.truth} are damaged")
        return whole


def runs_table(records: dict[Path, RunRecord]) -> pa.Table:
    """The view `runs`: one row per run."""
    import pyarrow as pa

    text, number, integer = pa.string(), pa.float64(), pa.int64()
    mapping = pa.map_(text, text)
    columns: dict[str, Any] = {
        "run_id": text, "cell_key": text, "status": text,
        "dataset": text, "dataset_revision": text, "protocol": text, "protocol_version": text, "fold": text,
        "model": text, "distribution": text, "results_version": text, "source_digest": text,
        "params": text, "preset": text,
        "seed": integer, "precision": text, "control": pa.bool_(),
        "badges": pa.list_(text), "ledger": mapping, "patients": mapping, "truth_keys": mapping,
        "test_parts": integer, "covered_parts": number, "complete_parts": integer, "n_genes": integer,
        "fit_seconds": number, "predict_seconds": number, "total_seconds": number,
        "peak_memory_mb": number, "peak_gpu_memory_mb": number, "n_parameters": integer, "device": text,
        "started": text, "finished": text,
        "failure_stage": text, "failure": text, "traceback": text, "folder": text,
    }  # fmt: skip
    rows = [_run_row(folder, record) for folder, record in records.items()]
    return pa.Table.from_pylist(rows, schema=pa.schema(list(columns.items())))


def _run_row(folder: Path, record: RunRecord) -> dict[str, Any]:
    cell, cost, failure = record.cell, record.cost, record.failure
    return {
        "run_id": record.run_id,
        "cell_key": record.cell_key,
        "status": record.status,
        "dataset": cell.dataset,
        "dataset_revision": cell.dataset_revision,
        "protocol": cell.protocol,
        "protocol_version": cell.protocol_version,
        "fold": cell.fold.id,
        "model": cell.model,
        "distribution": cell.model_distribution,
        "results_version": cell.results_version,
        "source_digest": cell.source_digest,
        "params": json.dumps(cell.params, sort_keys=True),
        "preset": cell.preset,
        "seed": cell.seed,
        "precision": cell.precision,
        "control": cell.control,
        "badges": record.badges,
        "ledger": record.ledger,
        "patients": cell.patients,
        "truth_keys": {t.slide: t.truth_key for t in record.test},
        "test_parts": len(cell.fold.test),
        "covered_parts": len(cell.fold.test) - sum(1 - t.coverage for t in record.test),
        "complete_parts": cell.complete_parts,
        "n_genes": record.n_genes,
        "fit_seconds": cost.seconds.get("fit"),
        "predict_seconds": cost.seconds.get("predict"),
        "total_seconds": sum(cost.seconds.values()),
        "peak_memory_mb": cost.peak_memory_mb,
        "peak_gpu_memory_mb": cost.peak_gpu_memory_mb,
        "n_parameters": cost.n_parameters,
        "device": record.device,
        "started": record.started,
        "finished": record.finished,
        "failure_stage": failure and failure.stage,
        "failure": failure and f"{failure.kind}: {failure.message}",
        "traceback": failure and failure.traceback,
        "folder": str(folder),
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _ends_as_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-4, 2)
            return file.read() == b"PAR1"
    except OSError:
        return False
