"""Checking a store: every record, every file, every truth a run refers to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stbench.store.index import Index, changed_since
from stbench.store.layout import RESCORED, Layout
from stbench.store.reader import Store
from stbench.store.record import RunRecord


@dataclass
class Verification:
    """What was found: counts, sentences about damage, and debris that no reader looks at."""

    runs: int = 0
    finished: int = 0
    problems: list[str] = field(default_factory=list)
    debris: list[Path] = field(default_factory=list)
    unindexed: int = 0
    """Runs that were added, changed or removed since the store was compacted; 0 if it never was."""


def verify(root: Path) -> Verification:
    """Read every file of a store.

    A run under way, or killed before it committed, is debris in ``.staging``: it counts for nothing and is no damage.
    """
    store = Store(root, use_index=False)
    found = Verification(runs=len(store.records), problems=store.problems)
    truths: set[str] = set()
    for folder, record in store.records.items():
        found.problems += run_problems(store.layout, folder, record)
        if record.status == "ok":
            truths |= {test.truth_key for test in record.test}
    found.finished = len(store.finished())
    for key in sorted(truths):
        found.problems += truth_problems(store.layout, key)
    found.problems += [
        f"{folder}: no run.json; remove the folder"
        for folder in sorted(store.layout.runs.glob("*/*/*/*"))
        if folder.is_dir() and not (folder / "run.json").exists()
    ]
    index = Index.newest(store.layout)
    if index.problem:
        found.problems.append(index.problem)
    if index.folder:
        found.unindexed = changed_since(index, store.records)
    if store.layout.staging.is_dir():
        found.debris = sorted(store.layout.staging.iterdir())
    return found


def truth_problems(layout: Layout, key: str) -> list[str]:
    """Sentences about what is wrong with a slide target."""
    folder = layout.truth_folder(key)
    return [p for name in ("truth", "spots", "references") for p in _table_problems(folder, name)]


def run_problems(layout: Layout, folder: Path, record: RunRecord) -> list[str]:
    """Sentences about what is wrong with a run whose record could be read."""
    problems = []
    if record.cell.key != record.cell_key:
        problems.append(f"run {record.run_id}: the record's cell does not have the key {record.cell_key}")
    cell = record.cell
    if folder != layout.run_folder(cell.dataset, cell.protocol, cell.model, record.cell_key, record.run_id):
        where = folder.relative_to(layout.root).as_posix()
        problems.append(f"run {record.run_id}: its folder is {where}, not the one of its cell")
    if record.status != "ok":
        return problems
    for name in ("moments", "metrics"):
        problems += _table_problems(folder, name)
    for name in ("predictions", "points"):
        if f"{name}.parquet" in record.files:
            problems += _table_problems(folder, name)
    for path in sorted(folder.glob(RESCORED.format(metric="*"))):
        problems += _table_problems(folder, path.stem)
    return problems


def _table_problems(folder: Path, name: str) -> list[str]:
    path = folder / f"{name}.parquet"
    try:
        pq.read_table(path, memory_map=True, page_checksum_verification=True).validate(full=False)
    except FileNotFoundError:
        return [f"{path} is missing"]
    except (OSError, pa.ArrowException) as error:
        return [f"{path} is damaged ({str(error).splitlines()[0]})"]
    return []
