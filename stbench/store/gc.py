"""Removing what nobody reads again: debris of dead writers, failures that were made good, truths without runs."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR

from stbench.errors import StoreError
from stbench.store.layout import Layout
from stbench.store.owner import state_of
from stbench.store.reader import Store

GRACE_SECONDS = 60
"""A writer that has just died is first recorded by its parent, which reads what it left."""


@dataclass(frozen=True)
class Leftover:
    """Something to remove, and why."""

    path: Path
    why: str
    size: int


@dataclass
class Collection:
    """What was removed, or would be.

    Attributes
    ----------
    alive
        Runs under way, and those of which this machine cannot say.
    notes
        What was left for a reason that its user should know.
    """

    removed: list[Leftover] = field(default_factory=list)
    alive: int = 0
    notes: list[str] = field(default_factory=list)


def collect(root: Path, older_than_s: float, *, dry_run: bool = False) -> Collection:
    """Remove leftovers; safe beside readers, writers and other collections, on this machine and others.

    Parameters
    ----------
    older_than_s
        Where this machine cannot tell whether a writer lives: seconds without a change after which it counts as dead.
        Truths that no run refers to are kept for as long.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    layout = Layout(root)
    layout.check()
    done = Collection()
    try:
        for left in _staged(layout, older_than_s, done):
            _take(left, done, layout, dry_run)
        store = Store(root, use_index=False)
        for left in _made_good(store):
            _take(left, done, layout, dry_run)
        if store.problems:
            done.notes.append("truths are kept: damaged runs may refer to them; `stbench store verify` names the runs")
            return done
        for folder in _unused_truths(store, older_than_s):
            if dry_run or _remove_truth(layout, folder, older_than_s):
                done.removed.append(Leftover(folder, "no run refers to it", _size(folder)))
    except OSError as error:
        raise StoreError(f"the store {root} cannot be cleaned ({error})") from error
    return done


def _staged(layout: Layout, older_than_s: float, done: Collection) -> Iterator[Leftover]:
    for path in sorted(layout.staging.glob("*")):
        state, age = state_of(path), time.time() - _last_change(path)
        if not path.exists():  # committed meanwhile
            continue
        if state == "dead" and age > GRACE_SECONDS:
            yield Leftover(path, "its writer is dead", _size(path))
        elif state == "unknown" and age > older_than_s:
            yield Leftover(path, f"unchanged for {age / 86400:.1f} days", _size(path))
        else:
            done.alive += 1


def _made_good(store: Store) -> Iterator[Leftover]:
    """Failed runs of cells that a later run finished."""
    finished = {record.cell_key: record.run_id for record in store.records.values() if record.status == "ok"}
    for folder, record in store.records.items():
        if record.status != "ok" and record.run_id < finished.get(record.cell_key, ""):
            yield Leftover(folder, f"{record.status}; run {finished[record.cell_key]} finished the cell", _size(folder))


def _unused_truths(store: Store, older_than_s: float) -> list[Path]:
    used = {test.truth_key for record in store.records.values() for test in record.test}
    found = sorted(store.layout.truth.glob("*"))
    return [p for p in found if p.name not in used and time.time() - p.stat().st_mtime > older_than_s]


def _take(left: Leftover, done: Collection, layout: Layout, dry_run: bool) -> None:
    with suppress(FileNotFoundError):  # its writer came to life, or another collection was faster
        if not dry_run:
            shutil.rmtree(_aside(layout, left.path), ignore_errors=True)
        done.removed.append(left)


def _remove_truth(layout: Layout, folder: Path, older_than_s: float) -> bool:
    """Remove a truth, unless a writer who needs it has touched it meanwhile (`stbench.store.writer.commit_truth`)."""
    aside = _aside(layout, folder)
    if time.time() - aside.stat().st_mtime <= older_than_s:
        with suppress(OSError):  # written again
            os.rename(aside, folder)
        return False
    shutil.rmtree(aside, ignore_errors=True)
    return True


def _aside(layout: Layout, path: Path) -> Path:
    """Rename something out of every reader's sight."""
    layout.staging.mkdir(exist_ok=True)
    aside = layout.staging / f"gone-{path.name}-{os.getpid()}-{os.urandom(4).hex()}"
    os.rename(path, aside)
    if aside.is_file():
        aside.unlink()
    return aside


def _last_change(path: Path) -> float:
    return max((stat.st_mtime for stat in _looked_at(path)), default=0.0)


def _size(path: Path) -> int:
    return sum(stat.st_size for stat in _looked_at(path) if not S_ISDIR(stat.st_mode))


def _looked_at(path: Path) -> Iterator[os.stat_result]:
    """What is at a path and below it; its writer may rename it meanwhile."""
    below = (os.path.join(top, name) for top, folders, files in os.walk(path) for name in (*folders, *files))
    for each in (os.fspath(path), *below):
        with suppress(OSError):
            yield os.lstat(each)
