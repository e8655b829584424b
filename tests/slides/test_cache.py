"""The cache computes an array once, whoever asks; what is damaged is computed again."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stbench.slides import cache

SHAPE = (40, 3)


class Fill:
    """Fills with 0, 1, 2, … and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, out: np.ndarray) -> None:
        self.calls += 1
        out[:] = np.arange(out.size).reshape(out.shape)


@pytest.fixture
def fill() -> Fill:
    return Fill()


def test_filled_once_then_memory_mapped(tmp_path: Path, fill: Fill) -> None:
    first = cache.array(tmp_path / "a" / "x.npy", SHAPE, np.float32, fill)
    second = cache.array(tmp_path / "a" / "x.npy", SHAPE, np.float32, fill)

    assert fill.calls == 1
    np.testing.assert_array_equal(first, np.arange(120).reshape(SHAPE))
    np.testing.assert_array_equal(second, first)
    assert isinstance(second, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        second[0] = 1


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "zip", "other shape", "other type"])
def test_a_damaged_array_is_made_again(tmp_path: Path, fill: Fill, damage: str) -> None:
    path = tmp_path / "x.npy"
    cache.array(path, SHAPE, np.float32, fill)
    whole = path.read_bytes()
    if damage == "other shape":
        np.save(path, np.zeros((3, 40), np.float32))
    elif damage == "other type":
        np.save(path, np.zeros(SHAPE, np.int32))
    else:
        path.write_bytes(
            {"empty": b"", "truncated": whole[:-7], "garbage": b"?" * 99, "zip": b"PK\x03\x04" * 9}[damage]
        )

    again = cache.array(path, SHAPE, np.float32, fill)

    assert fill.calls == 2
    np.testing.assert_array_equal(again, np.arange(120).reshape(SHAPE))
    assert path.read_bytes() == whole


def test_only_one_of_many_fills(tmp_path: Path) -> None:
    calls = []
    start = threading.Barrier(8)

    def fill(out: np.ndarray) -> None:
        calls.append(threading.get_ident())
        out[:] = 5

    def ask(_: int) -> np.ndarray:
        start.wait()
        return cache.array(tmp_path / "x.npy", SHAPE, np.float32, fill)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))

    assert len(calls) == 1
    assert all((each == 5).all() for each in found)


def test_a_fill_that_fails_leaves_nothing_behind(tmp_path: Path, fill: Fill) -> None:
    def broken(out: np.ndarray) -> None:
        out[:3] = 1
        raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        cache.array(tmp_path / "x.npy", SHAPE, np.float32, broken)

    assert [p.suffix for p in tmp_path.iterdir()] in ([], [".lock"])
    cache.array(tmp_path / "x.npy", SHAPE, np.float32, fill)
    assert fill.calls == 1


def test_an_array_without_entries_needs_no_file(tmp_path: Path, fill: Fill) -> None:
    assert cache.array(tmp_path / "x.npy", (0, 3), np.uint8, fill).shape == (0, 3)
    assert (fill.calls, [*tmp_path.iterdir()]) == (0, [])


def test_sha256_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    assert cache.sha256(file, tmp_path / "cache") == abc
    assert cache.sha256(file, tmp_path / "cache") == abc
    file.write_bytes(b"abd")
    os.utime(file, ns=(1, 1))
    assert cache.sha256(file, tmp_path / "cache") != abc


def test_sha256_is_remembered_by_size_and_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    os.utime(file, ns=(10**18, 10**18))
    first = cache.sha256(file, tmp_path / "cache")

    file.write_bytes(b"xyz")  # the same size and, once more, the same time: not read again
    os.utime(file, ns=(10**18, 10**18))

    assert cache.sha256(file, tmp_path / "cache") == first
    for note in (tmp_path / "cache" / "digests").iterdir():
        note.write_text("{")
    assert cache.sha256(file, tmp_path / "cache") != first


def test_the_root_is_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STBENCH_CACHE", str(tmp_path))
    assert cache.root() == tmp_path
    monkeypatch.delenv("STBENCH_CACHE")
    assert cache.root().name == "stbench"


def ask_and_count(path: Path, calls: Path) -> float:
    """What one of several processes does that want the same array."""

    def fill(out: np.ndarray) -> None:
        (calls / str(os.getpid())).touch()
        time.sleep(0.2)
        out[:] = 7

    return float(cache.array(path, SHAPE, np.float32, fill).sum())


def test_only_one_of_several_processes_fills(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()

    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        asked = [pool.submit(ask_and_count, tmp_path / "x.npy", calls) for _ in range(6)]

    assert [each.result() for each in asked] == [7.0 * 120] * 6
    assert len(list(calls.iterdir())) == 1
