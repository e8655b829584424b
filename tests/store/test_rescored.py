"""Metrics that are added to a run after it was committed."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from handmade import commit_run, make_cell, random_slides

from stbench.errors import StoreError
from stbench.store import Layout, Store, schema
from stbench.store.verify import verify
from stbench.store.writer import add_metric

METRICS = "SELECT metric, value FROM metrics ORDER BY ALL"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A committed run with two metrics of its own."""
    values = random_slides(1)
    own = [{"slide": "B1", "metric": name, "value": 0.5} for name in ("ssim", "spearman")]
    return commit_run(tmp_path / "store", make_cell("B"), "run-1", values, {"B1": values["B1"]}, metrics=own)


@pytest.fixture
def root(folder: Path, tmp_path: Path) -> Path:
    return tmp_path / "store"


def add(root: Path, folder: Path, metric: str, value: float) -> Path:
    row = {"run_id": "run-1", "split": "test", "slide": "B1", "metric": metric, "version": "2", "value": value}
    return add_metric(Layout(root), folder, metric, pa.Table.from_pylist([row | {"n_obs": 1}], schema=schema.METRICS))


def test_a_metric_computed_again_replaces_the_runs_own(root: Path, folder: Path) -> None:
    add(root, folder, "ssim", 0.6)
    added = add(root, folder, "ssim", 0.7)
    add(root, folder, "ari", 0.1)

    assert added == folder / "metrics-ssim.parquet"
    assert [tuple(row.values()) for row in Store(root).query(METRICS).to_pylist()] == [
        ("ari", 0.1),
        ("spearman", 0.5),
        ("ssim", 0.7),
    ]
    assert verify(root).problems == []
    assert list((root / ".staging").iterdir()) == []


def test_a_run_after_it_has_its_own(root: Path, folder: Path) -> None:
    add(root, folder, "ssim", 0.7)
    values = random_slides(1)
    newer = [{"slide": "B1", "metric": "ssim", "value": 0.9}]
    commit_run(root, make_cell("B"), "run-2", values, {"B1": values["B1"]}, metrics=newer)

    assert Store(root).query(METRICS).to_pylist() == [{"metric": "ssim", "value": 0.9}]


def test_a_truncated_one_is_left_out_and_reported(root: Path, folder: Path) -> None:
    add(root, folder, "ari", 0.1)
    path = add(root, folder, "ssim", 0.7)
    os.truncate(path, path.stat().st_size // 2)

    store = Store(root)

    assert {row["metric"]: row["value"] for row in store.query(METRICS).to_pylist()} == {
        "ari": 0.1,
        "spearman": 0.5,
        "ssim": 0.5,
    }
    assert store.problems == [f"{path} is damaged and was left out; score it again"]
    (problem,) = verify(root).problems
    assert problem.startswith(f"{path} is damaged")


def test_one_that_cannot_be_written_leaves_the_run_as_it_was(root: Path, folder: Path) -> None:
    (folder / "metrics-ssim.parquet").mkdir()

    with pytest.raises(StoreError, match=r"metrics-ssim\.parquet cannot be written"):
        add(root, folder, "ssim", 0.7)
    assert list((root / ".staging").iterdir()) == []
