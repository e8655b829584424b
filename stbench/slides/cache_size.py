"""Bounding the cache: what was not used for longest goes first."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR

from stbench.slides import cache
from stbench.slides.cache_folders import ADDRESS, FOLDERS, PLUGINS

IN_USE_SECONDS = 3600
"""What was used more recently stays: a run may be about to open it. (A file that is mapped survives its removal.)"""

DEAD_SECONDS = 86400
"""A partial file that nothing has touched for so long has lost its writer."""


@dataclass(frozen=True)
class Entry:
    """Something in the cache that is removed whole.

    Attributes
    ----------
    used
        When it was made or last used, in seconds since the epoch.
    """

    path: Path
    size: int
    used: float


@dataclass
class Bounded:
    """What bounding the cache did, or would do.

    Attributes
    ----------
    size
        Bytes in the cache before.
    removed
        Entries that went, least recently used first.
    kept
        Bytes in folders that are never touched.
    """

    size: int
    removed: list[Entry] = field(default_factory=list)
    kept: int = 0

    @property
    def freed(self) -> int:
        """Bytes that were removed."""
        return sum(entry.size for entry in self.removed)


def bound_cache(root: Path, limit: int, *, dry_run: bool = False) -> Bounded:
    """Remove what can be made again, least recently used first, until the cache holds at most `limit` bytes.

    Safe beside running cells: an entry whose lock is held or that was used within the hour stays, and a reader that
    finds an entry gone makes it again. Partial files of dead writers go whatever the limit.
    """
    now = time.time()
    dead = [entry for entry in _leftovers(root) if now - entry.used > DEAD_SECONDS]
    entries = sorted(_entries(root), key=lambda entry: entry.used)
    kept = sum(_measured(root / name).size for name, folder in FOLDERS.items() if not folder.removable)
    done = Bounded(_measured(root).size, kept=kept)
    for entry in dead:
        if dry_run or _remove(entry.path):
            done.removed.append(entry)
    for entry in entries:
        if done.size - done.freed <= limit or now - entry.used <= IN_USE_SECONDS:
            break
        if dry_run or _remove(entry.path):
            done.removed.append(entry)
    return done


def _entries(root: Path) -> Iterator[Entry]:
    for top in _listed(root):
        known = FOLDERS.get(top.name)
        folder = known or PLUGINS
        if not folder.removable or not top.is_dir():
            continue
        below = [top]
        for _ in range(folder.depth):
            below = [path for parent in below for path in _listed(parent)]
        for path in below:
            hidden = path.name.startswith(".") or path.suffix == ".lock"
            if not hidden and (known or ADDRESS.fullmatch(path.name)):
                yield _measured(path)


def _leftovers(root: Path) -> Iterator[Entry]:
    """What writers left that died before they renamed it."""
    for top in _listed(root):
        if FOLDERS.get(top.name, PLUGINS).removable:
            for folder, folders, files in os.walk(top):
                yield from (_measured(Path(folder, name)) for name in (*folders, *files) if name.startswith("."))


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # removed just now, or a file
        return []


def _measured(path: Path) -> Entry:
    """Size of a file, or of all files below a folder, and the latest use of any."""
    size, used = 0, 0.0
    below = (os.path.join(top, name) for top, folders, files in os.walk(path) for name in (*folders, *files))
    for each in (os.fspath(path), *below):
        with suppress(OSError):  # replaced or removed meanwhile
            stat = os.lstat(each)
            is_file = not S_ISDIR(stat.st_mode)  # listing a folder, as here, is an access to it
            used = max(used, stat.st_mtime, stat.st_atime if is_file else 0.0)
            size += stat.st_size if is_file else 0
    return Entry(path, size, used)


def _remove(path: Path) -> bool:
    """Remove an entry and its lock, unless someone holds it."""
    from filelock import FileLock, Timeout

    lock = path.with_suffix(".lock")
    try:
        if not lock.is_file():
            return _unlink(path)
        with FileLock(lock, timeout=0):
            gone = _unlink(path)
            lock.unlink()  # who waits for it makes the entry again, as does who comes later
            return gone
    except (OSError, Timeout):  # OSError: Windows lets no one remove what a process has open
        return False


def _unlink(path: Path) -> bool:
    if path.is_dir():  # it vanishes at once: nobody may take half of it for the whole
        aside = cache.temporary(path)
        os.rename(path, aside)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        path.unlink()
    return True
