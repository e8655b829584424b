from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from stbench.slides import cache
from stbench.slides.cache_folders import FOLDERS
from stbench.slides.cache_size import bound_cache

HOUR = 3600.0


def put(path: Path, size: int, hours: float) -> Path:
    """A file that was last used some hours ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - hours * HOUR
    os.utime(path, (then, then))
    return path


def array(root: Path, folder: str, digit: str, size: int = 1000, hours: float = 2.0) -> Path:
    return put(root / folder / (2 * digit) / f"{64 * digit}.npy", size, hours)


def test_the_least_recently_used_go_until_it_fits(tmp_path: Path) -> None:
    old, middle, new = (array(tmp_path, "patches", d, hours=h) for d, h in (("a", 9), ("b", 5), ("c", 3)))

    done = bound_cache(tmp_path, 2000)

    assert [entry.path for entry in done.removed] == [old]
    assert (done.size, done.freed) == (3000, 1000)
    assert middle.exists()
    assert new.exists()


def test_use_is_what_counts_and_does_not_change_the_file(tmp_path: Path) -> None:
    used = tmp_path / "patches" / "aa" / f"{64 * 'a'}.npy"
    cache.array(used, (10, 10), np.float64, lambda out: out.fill(1))
    then = time.time() - 9 * HOUR
    os.utime(used, (then, then))
    other = array(tmp_path, "patches", "b", hours=5)

    cache.array(used, (10, 10), np.float64, lambda out: out.fill(2))
    bound_cache(tmp_path, 0)

    assert not other.exists()
    assert used.exists()  # used within the hour
    assert used.stat().st_mtime == pytest.approx(then)


def test_what_cannot_be_made_again_stays(tmp_path: Path) -> None:
    kept = [put(tmp_path / name / "x" / "file.bin", 500, 99) for name, f in FOLDERS.items() if not f.removable]
    kept.append(put(tmp_path / "a-plugins-own" / "notes.txt", 10, 99))
    theirs = array(tmp_path, "a-plugins-own", "d", hours=99)

    done = bound_cache(tmp_path, 0)

    assert all(path.exists() for path in kept)
    assert [entry.path for entry in done.removed] == [theirs]
    assert done.kept == 500 * (len(kept) - 1)


@pytest.mark.parametrize("name", [name for name, folder in FOLDERS.items() if folder.removable])
def test_an_entry_goes_whole(name: str, tmp_path: Path) -> None:
    depth = FOLDERS[name].depth
    entry = tmp_path / name / "aa" / "entry" if depth == 2 else tmp_path / name / "entry"
    put(entry / "one", 5, 99)
    put(entry / "two", 5, 3)
    os.utime(entry, (0, 0))

    done = bound_cache(tmp_path, 0)

    assert [e.path for e in done.removed] == [entry]
    assert not entry.exists()


def test_a_lock_that_is_held_is_respected(tmp_path: Path) -> None:
    busy, free = array(tmp_path, "stages", "a"), array(tmp_path, "stages", "b")
    put(free.with_suffix(".lock"), 0, 2)

    with FileLock(busy.with_suffix(".lock")):
        bound_cache(tmp_path, 0)

    assert busy.exists()
    assert not free.exists()
    assert not free.with_suffix(".lock").exists()


def test_partial_files_of_dead_writers_go_whatever_the_limit(tmp_path: Path) -> None:
    dead = put(tmp_path / "patches" / "aa" / ".x.npy.123-abcd", 700, 25)
    alive = put(tmp_path / "patches" / "aa" / ".y.npy.124-abcd", 700, 1)

    done = bound_cache(tmp_path, 10**9)

    assert [entry.path for entry in done.removed] == [dead]
    assert alive.exists()


def test_a_mapped_array_survives_and_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "patches" / "aa" / f"{64 * 'a'}.npy"
    mapped = cache.array(path, (50, 50), np.float64, lambda out: out.fill(3))
    os.utime(path, (0, 0))

    bound_cache(tmp_path, 0)

    assert not path.exists()
    assert (mapped == 3).all()
    assert (cache.array(path, (50, 50), np.float64, lambda out: out.fill(3)) == 3).all()


def test_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    path = array(tmp_path, "patches", "a")

    assert [entry.path for entry in bound_cache(tmp_path, 0, dry_run=True).removed] == [path]
    assert path.exists()


def test_no_cache_is_an_empty_one(tmp_path: Path) -> None:
    assert bound_cache(tmp_path / "nothing", 0).size == 0
