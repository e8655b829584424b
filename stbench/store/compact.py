"""Writing the index: records and small tables of all runs in a few files, so a reader opens four, not thousands."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stbench.errors import StoreError
from stbench.store import schema
from stbench.store.database import SCHEMAS
from stbench.store.index import FOLDERS, MANIFEST, RUNS, TABLES, Index, Seen, changed_since, described, look
from stbench.store.layout import RESCORED, Layout
from stbench.store.reader import Store
from stbench.store.record import RunRecord
from stbench.store.runs import runs_table
from stbench.store.writer import write_parquet
from stbench.versions import SCHEMA_VERSION

GRACE_SECONDS = 3600
"""How long an older generation stays: a reader may be in the middle of a query over it."""

_FOLDERS = pa.schema([("number", pa.int32()), ("folder", pa.string()), ("seen", pa.string()), ("record", pa.string())])


@dataclass(frozen=True)
class Compaction:
    """What the index covers; `written` is False where nothing had changed since the last time."""

    runs: int
    covered: int
    written: bool


def compact(root: Path) -> Compaction:
    """Write a new generation of the index, if the newest does not cover all runs as they are.

    Safe beside readers, writers and other compactions: a generation appears whole, by one rename.

    Raises
    ------
    StoreError
        If the store cannot be written; it is as it was.
    """
    store = Store(root, use_index=False)
    runs = store.records
    index = Index.newest(store.layout)
    if not index.problem and not changed_since(index, runs):
        return Compaction(len(runs), len(runs), written=False)
    layout = store.layout.create()
    name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}"
    partial = layout.staging / f"index-{name}"
    try:
        partial.mkdir(parents=True)
        covered = _write(store, partial)
        layout.index.mkdir(exist_ok=True)
        os.rename(partial, layout.index / name)
        _remove_old(layout, name)
    except OSError as error:
        raise StoreError(f"the index of {root} cannot be written ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Compaction(len(runs), covered, written=True)


def _write(store: Store, partial: Path) -> int:
    """Write all files of a generation; returns how many runs it covers."""
    folders: list[dict[str, object]] = []
    tables: dict[str, list[pa.Table]] = {table: [] for table in TABLES}

    def add(folder: Path, seen: Seen, record: str | None, files: dict[str, list[str]]) -> bool:
        try:
            read = {table: [_read(folder / name, table) for name in names] for table, names in files.items()}
        except (OSError, pa.ArrowException):
            return False  # damaged, or of a shape that only its own file can tell
        for table, parts in read.items():
            number = pa.scalar(len(folders), pa.int32())
            tables[table] += [part.append_column(schema.SOURCE, pa.repeat(number, len(part))) for part in parts]
        name = folder.relative_to(store.layout.root).as_posix()
        folders.append({"number": len(folders), "folder": name, "seen": described(seen), "record": record})
        return True

    covered: dict[int, tuple[Path, RunRecord]] = {}
    for folder, record in store.records.items():
        with suppress(OSError):  # a run that was removed just now
            seen = look(folder)  # before the files are read: whatever changes later no longer looks like this
            text = (folder / "run.json").read_text()
            number = len(folders)
            if add(folder, seen, text, _files_of_run(seen, record.files) if record.status == "ok" else {}):
                covered[number] = folder.relative_to(store.layout.root), record
    done = (record for record in store.records.values() if record.status == "ok")
    for key in sorted({test.truth_key for record in done for test in record.test}):
        with suppress(OSError):
            truth = store.layout.truth_folder(key)
            add(truth, look(truth), None, {"reference_files": ["references.parquet"]})
    write_parquet(partial / f"{FOLDERS}.parquet", pa.Table.from_pylist(folders, _FOLDERS))
    pq.write_table(_runs(covered), partial / RUNS, compression="zstd", write_page_checksum=True)
    for table, parts in tables.items():
        shape = SCHEMAS[table].append(pa.field(schema.SOURCE, pa.int32()))
        whole = pa.concat_tables([shape.empty_table(), *parts]).unify_dictionaries()
        write_parquet(partial / f"{TABLES[table]}.parquet", whole)
    sizes = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
    (partial / MANIFEST).write_text(json.dumps({"schema": SCHEMA_VERSION, "files": sizes}) + "\n")
    return len(covered)


def _runs(covered: dict[int, tuple[Path, RunRecord]]) -> pa.Table:
    """Rows of the view `runs` with the numbers of their folders, relative to the store."""
    rows = runs_table(dict(covered.values()))
    names = pa.array([folder.as_posix() for folder, _ in covered.values()], pa.string())
    rows = rows.set_column(rows.schema.get_field_index("folder"), "folder", names)
    return rows.append_column(schema.SOURCE, pa.array(list(covered), pa.int32()))


def _files_of_run(seen: Seen, stated: Iterable[str]) -> dict[str, list[str]]:
    before, _, after = RESCORED.partition("{metric}")
    return {
        "moments_files": [name for name in stated if name == "moments.parquet"],
        "metrics_files": [name for name in stated if name == "metrics.parquet"],
        "rescored_files": sorted(name for name in seen if name.startswith(before) and name.endswith(after)),
    }


def _read(path: Path, table: str) -> pa.Table:
    """One file in the shape of its schema; columns it does not have yet are null."""
    shape = SCHEMAS[table]
    read = pq.ParquetFile(path, page_checksum_verification=True).read()
    if unknown := set(read.column_names) - set(shape.names):
        raise pa.ArrowInvalid(f"{path}: columns {sorted(unknown)} are not in the schema")
    columns = [
        read.column(field.name).cast(field.type) if field.name in read.column_names else pa.nulls(len(read), field.type)
        for field in shape
    ]
    return pa.Table.from_arrays(columns, schema=shape)


def _remove_old(layout: Layout, newest: str) -> None:
    for path in layout.index.iterdir():
        with suppress(OSError):
            if path.name < newest and time.time() - path.stat().st_mtime > GRACE_SECONDS:
                shutil.rmtree(path)
