"""Merging stores that were made on several machines: runs keep their names, so a second merge adds nothing."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stbench.errors import StoreError, UsageError
from stbench.store.layout import RESCORED, Layout
from stbench.store.reader import Store
from stbench.store.record import RunRecord
from stbench.store.verify import run_problems, truth_problems


@dataclass
class Merged:
    """How many runs came, how many were here before, and sentences about those that were left out."""

    added: int = 0
    present: int = 0
    skipped: list[str] = field(default_factory=list)


def merge(root: Path, other: Path) -> Merged:
    """Copy the runs of another store that this one lacks, with the truths they refer to, each whole or not at all.

    Two finished runs of one cell are both kept; the view `cells` counts the one whose id sorts last, wherever it is
    from and whatever the clocks said.

    Raises
    ------
    UsageError
        The other store is not there, or is this one.
    StoreError
        A run id that stands for different runs in the two stores: nothing was copied. Or the store cannot be written.
    """
    if not other.is_dir():
        raise UsageError(f"there is no store in {other}; give the folder that holds STORE.json")
    if root.exists() and root.resolve() == other.resolve():
        raise UsageError(f"{other} is the store to merge into; give another one")
    theirs, here = Store(other, use_index=False), Store(root, use_index=False)
    done = Merged()
    known = {record.run_id: folder for folder, record in here.records.items()}
    wanted = []
    for folder, record in theirs.records.items():
        final = known.get(record.run_id, here.layout.root / theirs.layout.inside(folder))
        if final.exists():
            _refuse_another(record, folder, final)
        if problems := _problems(theirs.layout, folder, record):
            done.skipped.append(f"run {record.run_id} was left out: {'; '.join(problems)}")
        elif final.exists() and record.run_id not in known:
            done.skipped.append(f"run {record.run_id} is damaged here; remove {final} and merge again")
        else:
            wanted.append((folder, final, record))
    done.skipped += theirs.problems
    layout = here.layout.create()
    try:
        for folder, final, record in wanted:
            done.added += _copy_run(theirs.layout, layout, folder, final, record)
        done.present = len(wanted) - done.added
    except OSError as error:
        raise StoreError(f"{other} cannot be merged into {root} ({error}); the same command goes on") from error
    return done


def _refuse_another(record: RunRecord, theirs: Path, ours: Path) -> None:
    try:
        same = (ours / "run.json").read_bytes() == (theirs / "run.json").read_bytes()
    except OSError:
        same = False
    if not same:
        raise StoreError(
            f"run {record.run_id} is another one in {theirs} than in {ours}; nothing was merged: remove the wrong one"
        )


def _problems(layout: Layout, folder: Path, record: RunRecord) -> list[str]:
    problems = run_problems(layout, folder, record)
    if record.status == "ok":
        problems += [p for key in sorted({t.truth_key for t in record.test}) for p in truth_problems(layout, key)]
    return problems


def _copy_run(theirs: Layout, ours: Layout, folder: Path, final: Path, record: RunRecord) -> bool:
    """Copy a run, or only the metrics that were added to it since; returns whether the run was not here."""
    if final.exists():
        for path in sorted(folder.glob(RESCORED.format(metric="*"))):
            if not (final / path.name).exists():
                partial = _partial(ours, path.name)
                shutil.copy2(path, partial)
                os.replace(partial, final / path.name)
        return False
    for key in sorted({test.truth_key for test in record.test}) if record.status == "ok" else ():
        _copy_folder(ours, theirs.truth_folder(key), ours.truth_folder(key))
    return _copy_folder(ours, folder, final)


def _copy_folder(layout: Layout, source: Path, final: Path) -> bool:
    with suppress(FileNotFoundError):
        os.utime(final)  # as in `stbench.store.writer.commit_truth`
        return False
    partial = _partial(layout, source.name)
    try:
        shutil.copytree(source, partial)
        final.parent.mkdir(parents=True, exist_ok=True)
        os.rename(partial, final)
    except OSError:
        if not final.exists():  # else another merge was faster
            raise
        return False
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _partial(layout: Layout, name: str) -> Path:
    return layout.staging / f"merge-{name}-{os.getpid()}-{os.urandom(4).hex()}"
