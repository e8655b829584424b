"""The content-addressed cache of arrays: computed once, by one process, then memory-mapped by all."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def root() -> Path:
    """Folder of the cache: ``STBENCH_CACHE``, else the platform's."""
    import platformdirs

    chosen = os.environ.get("STBENCH_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("stbench", appauthor=False))


def temporary(path: Path) -> Path:
    """A name beside `path` that no other process uses, to be renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")


def mark_used(path: Path) -> None:
    """Note that a file was used now: the least recently used go first, and file systems note it once a day or never."""
    with suppress(OSError):  # someone else's, or read-only
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def array(path: Path, shape: tuple[int, ...], dtype: type, fill: Callable[[NDArray[Any]], None]) -> NDArray[Any]:
    """Memory-map the array at `path`, filling it first if it is not there (or damaged).

    Parameters
    ----------
    fill
        Called with a writable memory map of `shape`; runs in one process at a time, others wait for it.
    """
    from filelock import FileLock

    if 0 in shape:
        return np.zeros(shape, dtype)
    found = _mapped(path, shape, dtype)
    if found is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        found = _mapped(path, shape, dtype)
        if found is not None:
            return found
        partial = temporary(path)
        try:
            out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.dtype(dtype), shape=shape)
            fill(out)
            out.flush()
            del out
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return np.asanyarray(np.load(path, mmap_mode="r"))


def _mapped(path: Path, shape: tuple[int, ...], dtype: type) -> NDArray[Any] | None:
    try:
        found = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):  # ValueError: header or length are wrong
        return None
    mark_used(path)
    return found if found.shape == shape and found.dtype == np.dtype(dtype) else None


def sha256(path: Path, cache_dir: Path) -> str:
    """SHA-256 of a file, remembered by path, size and modification time."""
    stat = path.stat()
    memo = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    note = cache_dir / "digests" / f"{hashlib.sha256(memo.encode()).hexdigest()[:32]}.json"
    try:
        return str(json.loads(note.read_text())["sha256"])
    except (OSError, ValueError, KeyError):
        pass
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    partial = temporary(note)
    partial.write_text(json.dumps({"file": str(path), "sha256": digest}))
    os.replace(partial, note)
    return digest
