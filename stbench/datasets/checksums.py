"""Checksums of a dataset's files, recorded when they are first seen and compared ever after."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from stbench.datasets.contract import DataFile, Dataset
from stbench.slides import cache


@dataclass
class Report:
    """Outcome of a verification: files as recorded, recorded now, and those that differ or are gone."""

    same: int = 0
    new: int = 0
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def verify(name: str, dataset: Dataset, cache_dir: Path) -> Report:
    """Hash every file again and compare with the record; files not seen before are recorded.

    A checksum nobody has verified is recorded at the first sight of a file, never invented.
    """
    path = cache_dir / "checksums" / f"{name}.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    here = {file.name: _digest(file) for file in dataset.files()}
    report = Report(missing=sorted(set(known) - set(here)))
    for file, digest in here.items():
        if file not in known:
            report.new += 1
            known[file] = digest
        elif known[file] == digest:
            report.same += 1
        else:
            report.changed.append(file)
    partial = cache.temporary(path)
    partial.write_text(json.dumps(known, indent=1, sort_keys=True))
    os.replace(partial, path)
    return report


def _digest(file: DataFile) -> str:
    """From the bytes on disk, not from the note of an earlier reading."""
    if file.path is None:
        return file.sha256
    with file.path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
