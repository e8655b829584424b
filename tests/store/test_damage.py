from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from handmade import commit_run, make_cell, random_slides

from stbench.errors import StoreError, UsageError
from stbench.store import Layout, Store

SCORES = "SELECT DISTINCT fold FROM slide_scores WHERE value IS NOT NULL ORDER BY 1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    values = random_slides(1)
    for patient in ("B", "C"):
        commit_run(root, make_cell(patient), f"run-{patient}", values, {f"{patient}1": values[f"{patient}1"]})
    return root


def run_folder(root: Path, run_id: str) -> Path:
    return Store(root).find(run_id)[0]


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def drop_record(folder: Path) -> None:
    (folder / "run.json").unlink()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: truncate(folder / "moments.parquet"), "run run-B: moments.parquet is damaged"),
        (lambda folder: truncate(folder / "predictions.parquet"), "run run-B: predictions.parquet is damaged"),
        (lambda folder: (folder / "metrics.parquet").unlink(), "run run-B: metrics.parquet is damaged"),
        (lambda folder: truncate(folder / "run.json"), "run.json cannot be read and was left out"),
        (lambda folder: (folder / "run.json").write_text("{}"), "run.json cannot be read and was left out"),
        (lambda folder: (folder / "run.json").write_bytes(b"\xff\xfe"), "run.json cannot be read and was left out"),
    ],
)
def test_a_damaged_run_is_left_out_and_everything_else_answers(
    damage: Callable[[Path], object], sentence: str, root: Path
) -> None:
    damage(run_folder(root, "run-B"))

    store = Store(root)

    assert [r["fold"] for r in store.query(SCORES).to_pylist()] == ["C"]
    assert [r.run_id for r in store.records.values()] == ["run-C"]
    assert len(store.problems) == 1
    assert sentence in store.problems[0]


def test_a_run_without_a_record_does_not_exist(root: Path) -> None:
    (run_folder(root, "run-B") / "run.json").unlink()

    store = Store(root)

    assert [r["fold"] for r in store.query(SCORES).to_pylist()] == ["C"]
    assert store.problems == []


def test_what_lies_in_staging_is_never_read(root: Path) -> None:
    left_over = root / ".staging" / "run-X"
    left_over.mkdir()
    for path in run_folder(root, "run-B").iterdir():
        (left_over / path.name).write_bytes(path.read_bytes()[:10])

    store = Store(root)

    assert [r["fold"] for r in store.query(SCORES).to_pylist()] == ["B", "C"]
    assert store.problems == []


@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_damaged_truth_costs_its_own_slide(damage: Callable[[Path], None], root: Path) -> None:
    damage(root / "truth" / "truth-B1" / "truth.parquet")

    store = Store(root)

    assert store.query("SELECT DISTINCT slide FROM truth").to_pylist() == [{"slide": "C1"}]
    assert [r["fold"] for r in store.query(SCORES).to_pylist()] == ["B", "C"]
    assert any("truth.parquet" in problem and "damaged" in problem for problem in store.problems)


@pytest.mark.parametrize("exists", [False, True])
def test_an_absent_or_empty_store_answers_empty(exists: bool, tmp_path: Path) -> None:
    root = tmp_path / "nothing"
    if exists:
        Layout(root).create()

    store = Store(root)

    for view in ("runs", "cells", "moments", "metrics", "predictions", "truth", "slide_scores", "fold_scores"):
        assert store.query(f"SELECT * FROM {view}").num_rows == 0
    assert store.finished() == set()
    assert root.exists() is exists


def test_a_folder_that_is_not_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("precious")

    with pytest.raises(StoreError, match="exists and is not a store; give an empty --store"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="is not a store"):
        Layout(tmp_path).create()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]


def test_a_file_is_not_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.write_text("")

    with pytest.raises(StoreError, match=str(path)):
        Store(path)


@pytest.mark.parametrize(
    ("marker", "sentence"),
    [
        ('{"format": "stbench-store", "schema": 99}', "has schema 99, this stbench reads up to 1; upgrade stbench"),
        ('{"format": "zarr"}', "does not describe a stbench-store"),
        ("[]", "does not describe a stbench-store"),
        ('{"format": "stbench-store", "schema": "two"}', "does not describe a stbench-store"),
        ('{"format": "stb', "cannot be read"),
    ],
)
def test_a_marker_this_version_cannot_read_is_refused(marker: str, sentence: str, root: Path) -> None:
    (root / "STORE.json").write_text(marker)

    with pytest.raises(StoreError, match=sentence):
        Store(root)


def test_the_marker_states_format_and_schema(root: Path) -> None:
    assert json.loads((root / "STORE.json").read_text()) == {"format": "stbench-store", "schema": 1}


def test_a_store_another_process_is_just_making_is_a_store(tmp_path: Path) -> None:
    (tmp_path / ".staging").mkdir()

    assert Layout(tmp_path).create().runs == tmp_path / "runs"


def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="give another --store"):
        Layout(tmp_path / "file" / "store").create()


def test_a_run_is_found_by_the_beginning_of_its_id_or_key(root: Path) -> None:
    store = Store(root)
    key = make_cell("B").key

    assert store.find("run-B")[1].run_id == "run-B"
    assert store.find(key[:10])[1].run_id == "run-B"
    with pytest.raises(UsageError, match="several cells"):
        store.find("run-")
    with pytest.raises(UsageError, match="no run 'zebra'"):
        store.find("zebra")
