from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from handmade import commit_many, commit_tables, random_slides, truth_tables

from stbench.store import Layout, Store


def test_processes_that_commit_at_once_lose_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"

    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(commit_many, root, writer, 10) for writer in (1, 2)]:
            done.result()

    store = Store(root)
    assert len(store.finished()) == 20
    assert store.problems == []
    assert store.query("SELECT count(*) AS n FROM slide_scores WHERE metric = 'pcc'").to_pylist() == [{"n": 20}]
    assert [p.name for p in (root / "truth").iterdir()] == ["truth-B1"]
    assert list((root / ".staging").iterdir()) == []


def test_writers_that_race_for_one_truth_write_it_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "store").create()
    values = random_slides(1)["A1"]
    together = threading.Barrier(8)

    def write(_: int) -> None:
        tables = truth_tables("truth-A1", "A1", values)
        together.wait()
        commit_tables(layout, "truth-A1", tables)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))

    (folder,) = layout.truth.iterdir()
    assert sorted(p.name for p in folder.iterdir()) == ["references.parquet", "spots.parquet", "truth.parquet"]
    assert list(layout.staging.iterdir()) == []


def test_a_truth_is_not_written_a_second_time(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "store").create()
    values = random_slides(1)["A1"]
    commit_tables(layout, "truth-A1", truth_tables("truth-A1", "A1", values))
    before = (layout.truth / "truth-A1" / "truth.parquet").read_bytes()

    commit_tables(layout, "truth-A1", truth_tables("truth-A1", "A1", np.zeros_like(values)))

    assert (layout.truth / "truth-A1" / "truth.parquet").read_bytes() == before
