"""The index: the records and small tables of many runs in a few files, beside what was seen of each run.

A folder whose files differ from what the index saw (name, size, time) is read from its own files; so the index is
never wrong, only of less use. A generation is written whole, renamed into place and never changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stbench.store.layout import Layout
from stbench.store.schema import SOURCE
from stbench.versions import SCHEMA_VERSION

Seen = dict[str, tuple[int, int]]
"""Size in bytes and time of change in ns, by path inside a folder."""

MANIFEST = "index.json"
FOLDERS = "folders"
RUNS = "runs.parquet"
TABLES = {
    "moments_files": "moments",
    "metrics_files": "metrics",
    "rescored_files": "rescored",
    "reference_files": "references",
}
"""File of the index that holds a table's rows."""


@dataclass
class Index:
    """One generation of the index, or none.

    Attributes
    ----------
    folder
        The generation; None where the store has no index that can be read.
    problem
        Why an index that is there cannot be read.
    """

    layout: Layout
    folder: Path | None = None
    problem: str | None = None
    rows: dict[str, tuple[int, str, str | None]] = field(default_factory=dict)
    """Number, what was seen and the record's text by folder, relative to the store; truths have no record."""
    listed: pa.Table | None = None
    """Rows of the view `runs`, with the numbers of their folders."""
    valid: set[int] = field(default_factory=set)
    """Numbers of the folders that are as they were."""

    @classmethod
    def newest(cls, layout: Layout) -> Index:
        """Open the newest generation."""
        folder = max((path for path in layout.index.glob("*") if path.is_dir()), default=None)
        if folder is None:
            return cls(layout)
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
            if manifest["schema"] != SCHEMA_VERSION:
                return cls(layout)
            if any((folder / name).stat().st_size != size for name, size in manifest["files"].items()):
                raise ValueError("truncated")
            if RUNS not in manifest["files"]:  # of an earlier stbench
                return cls(layout)
            columns = _whole(folder / f"{FOLDERS}.parquet").to_pydict()
            described = zip(columns["number"], columns["seen"], columns["record"], strict=True)
            rows = dict(zip(columns["folder"], described, strict=True))
            return cls(layout, folder, rows=rows, listed=_whole(folder / RUNS))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
            return cls(
                layout, problem=f"the index {folder} is damaged and was left out; run `stbench store compact` again"
            )

    def covers(self, folder: Path, seen: Seen) -> bool:
        """Whether the index has all of a folder that now looks like this."""
        row = self.rows.get(self._name(folder))
        if row is None or row[1] != described(seen):
            return False
        self.valid.add(row[0])
        return True

    def record(self, folder: Path) -> str:
        """Text of the ``run.json`` of a folder that the index covers."""
        return self.rows[self._name(folder)][2] or ""

    def runs(self) -> pa.Table:
        """Rows of the view `runs` of the folders that `covers` has affirmed."""
        import pyarrow.compute as pc

        assert self.listed is not None
        table = self.listed
        kept = table.filter(pc.is_in(table[SOURCE], pa.array(sorted(self.valid), pa.int32()))).drop_columns([SOURCE])
        names = kept["folder"] if os.sep == "/" else pc.replace_substring(kept["folder"], "/", os.sep)
        spelt = pc.binary_join_element_wise(str(self.layout.root), names, os.sep)
        return kept.set_column(kept.schema.get_field_index("folder"), "folder", spelt)

    def stale(self, *, truths: bool) -> list[int]:
        """Numbers of the truths or runs whose rows do not count: those that `covers` did not affirm."""
        numbers = {number for number, _, record in self.rows.values() if (record is None) is truths}
        return sorted(numbers - self.valid)

    def file(self, table: str) -> str | None:
        """File with the rows of a table, if the index has it."""
        return str((self.folder / f"{TABLES[table]}.parquet").resolve()) if self.folder and table in TABLES else None

    def _name(self, folder: Path) -> str:
        return self.layout.inside(folder).replace(os.sep, "/")


def _whole(path: Path) -> pa.Table:
    return pq.ParquetFile(path, page_checksum_verification=True).read()


def changed_since(index: Index, runs: Iterable[Path]) -> int:
    """Number of runs that the index does not have as they are, and of runs it has that are gone."""
    runs = list(runs)
    missing = {index.layout.root / name for name, row in index.rows.items() if row[2] is not None} - set(runs)
    return sum(not index.covers(folder, look(folder)) for folder in runs) + len(missing)


def look(folder: Path | str, inside: str = "") -> Seen:
    """What is seen of a folder: all its files but the log."""
    seen: Seen = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = inside + entry.name
            if entry.is_dir():
                seen |= look(entry.path, f"{name}/")
            elif name != "log.txt":
                try:
                    found: Any = entry.stat()
                except OSError:  # a link to nothing, or just replaced
                    continue
                seen[name] = (found.st_size, found.st_mtime_ns)
    return seen


def described(seen: Seen) -> str:
    """What was seen, as text that can be compared."""
    return json.dumps(sorted(seen.items()))
