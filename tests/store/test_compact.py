"""`stbench store compact`: faster, and never another answer."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import commit_failure, commit_run, make_cell, random_slides
from typer.testing import CliRunner

from stbench.cli.app import app
from stbench.store import Layout, Store, schema
from stbench.store import compact as compaction
from stbench.store.compact import compact
from stbench.store.index import TABLES
from stbench.store.verify import verify
from stbench.store.writer import add_metric

VIEWS = ("runs", "cells", "moments", "metrics", "gene_scores", "pooled_moments", "slide_scores", "fold_scores",
         "reference_scores", "predictions", "truth")  # fmt: skip
GOLDEN = Path(__file__).parent / "golden-v1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three finished cells, one of two slides and one run twice; a metric computed anew; a failure."""
    root = tmp_path / "store"
    values = random_slides(1)
    for run_id, patient in (("run-1", "A"), ("run-2", "B"), ("run-3", "C"), ("run-4", "B")):
        add_run(root, run_id, patient, values)
    rescore(root, "run-3", "ssim", 0.6)
    commit_failure(root, make_cell("A", model="other"), "run-5")
    return root


def add_run(root: Path, run_id: str, patient: str, truth: dict[str, Any] | None = None) -> Path:
    truth = truth or random_slides(1)
    predicted = {slide: values for slide, values in random_slides(2).items() if slide.startswith(patient)}
    metrics = [{"slide": slide, "metric": name, "value": 0.5} for slide in predicted for name in ("ssim", "spearman")]
    return commit_run(root, make_cell(patient), run_id, truth, predicted, metrics=metrics)


def the(root: Path, run_id: str) -> Path:
    (folder,) = root.glob(f"runs/*/*/*/*-{run_id}")
    return folder


def rescore(root: Path, run_id: str, metric: str, value: float) -> Path:
    row = {"run_id": run_id, "split": "test", "slide": "C1", "metric": metric, "version": "2", "value": value}
    table = pa.Table.from_pylist([row | {"n_obs": 1}], schema=schema.METRICS)
    return add_metric(Layout(root), the(root, run_id), metric, table)


def answers(root: Path, *, use_index: bool = True) -> dict[str, list[str]]:
    """All rows of all views; sums are taken in another order each time."""
    with Store(root, use_index=use_index).connect() as connection:
        views = {view: connection.sql(f"SELECT * FROM {view}").to_arrow_table() for view in VIEWS}
    return {view: [str(table.schema), *sorted(map(_rounded, table.to_pylist()))] for view, table in views.items()}


def _rounded(row: dict[str, Any]) -> str:
    return str({name: f"{value:.9g}" if isinstance(value, float) else value for name, value in row.items()})


def generation(root: Path) -> Path:
    return max((root / "index").iterdir())


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def spoil(path: Path) -> None:
    """Same size, no content."""
    path.write_bytes(bytes(path.stat().st_size))


def same_numbers_elsewhere(root: Path) -> None:
    """A file that the index has, of the same size but with other rows."""
    before = (the(root, "run-3") / "metrics-ssim.parquet").stat().st_size
    assert rescore(root, "run-3", "ssim", 0.7).stat().st_size == before


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda root: None,
    "run added": lambda root: add_run(root, "run-6", "A"),
    "failure added": lambda root: commit_failure(root, make_cell("C", model="other"), "run-6"),
    "run removed": lambda root: shutil.rmtree(the(root, "run-2")),
    "newest run of a cell removed": lambda root: shutil.rmtree(the(root, "run-4")),
    "record removed": lambda root: (the(root, "run-3") / "run.json").unlink(),
    "record damaged": lambda root: truncate(the(root, "run-3") / "run.json"),
    "metric added": lambda root: rescore(root, "run-3", "ari", 0.1),
    "metric computed anew": same_numbers_elsewhere,
    "metric removed": lambda root: (the(root, "run-3") / "metrics-ssim.parquet").unlink(),
    "moments truncated": lambda root: truncate(the(root, "run-1") / "moments.parquet"),
    "rescored metric truncated": lambda root: truncate(the(root, "run-3") / "metrics-ssim.parquet"),
    "references truncated": lambda root: truncate(root / "truth" / "truth-B1" / "references.parquet"),
    "truth removed": lambda root: shutil.rmtree(root / "truth" / "truth-C1"),
    "index removed": lambda root: shutil.rmtree(root / "index"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_view_is_what_the_files_say(change: str, root: Path) -> None:
    before = answers(root)
    compact(root)
    assert answers(root) == before

    CHANGES[change](root)

    assert answers(root) == answers(root, use_index=False)
    assert (answers(root) == before) == (change in ("nothing", "index removed"))
    assert compact(root).written == (change not in ("nothing", "references truncated", "truth removed"))
    assert answers(root) == answers(root, use_index=False)


def test_changes_one_after_the_other(root: Path) -> None:
    compact(root)
    for change in ("run added", "metric added", "newest run of a cell removed", "moments truncated"):
        CHANGES[change](root)
        assert answers(root) == answers(root, use_index=False)


def test_a_store_of_the_first_version(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "store")
    before = answers(tmp_path / "store")
    add_run(tmp_path / "store", "run-9", "C")
    after = answers(tmp_path / "store")

    assert compact(tmp_path / "store").covered == 4
    assert answers(tmp_path / "store") == after != before


def test_the_index_is_what_is_read(root: Path) -> None:
    compact(root)
    index = generation(root)
    table = pq.read_table(index / "moments.parquet")
    pq.write_table(table.slice(0, 0), index / "moments.parquet")
    manifest = json.loads((index / "index.json").read_text())
    manifest["files"]["moments.parquet"] = (index / "moments.parquet").stat().st_size
    (index / "index.json").write_text(json.dumps(manifest))

    assert Store(root).query("SELECT * FROM moments").num_rows == 0


@pytest.mark.parametrize("name", ["index.json", "folders.parquet", *(f"{name}.parquet" for name in TABLES.values())])
@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_a_damaged_index_is_left_out_and_reported(damage: Callable[[Path], None], name: str, root: Path) -> None:
    before = answers(root)
    compact(root)
    damage(generation(root) / name)

    assert answers(root) == before
    store = Store(root)
    store.query("SELECT * FROM runs")
    (problem,) = store.problems
    assert problem.endswith("is damaged and was left out; run `stbench store compact` again")
    assert verify(root).problems == [problem]
    assert compact(root).written
    assert verify(root).problems == []


def test_a_run_that_cannot_be_read_is_not_covered(root: Path) -> None:
    spoil(the(root, "run-3") / "metrics.parquet")

    assert compact(root) == compaction.Compaction(runs=5, covered=4, written=True)
    assert [row["run_id"] for row in Store(root).query("SELECT run_id FROM runs").to_pylist()] == [
        f"run-{number}" for number in range(1, 6)
    ]


def test_twice_writes_once(root: Path) -> None:
    assert compact(root).written
    first = generation(root)

    assert not compact(root).written
    assert list((root / "index").iterdir()) == [first]


def test_at_once(root: Path) -> None:
    before = answers(root)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(compact, [root] * 4))

    assert {one.covered for one in done} == {5}
    assert answers(root) == before
    assert list((root / ".staging").iterdir()) == []


def test_an_open_reader_is_not_disturbed_and_old_generations_go(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compact(root)
    first = generation(root)
    with Store(root).connect() as connection:
        rows = len(connection.sql("SELECT * FROM moments").fetchall())
        add_run(root, "run-6", "A")
        compact(root)
        assert len(connection.sql("SELECT * FROM moments").fetchall()) == rows
    assert first.exists()

    monkeypatch.setattr(compaction, "GRACE_SECONDS", -1)
    add_run(root, "run-7", "A")
    compact(root)

    assert list((root / "index").iterdir()) == [generation(root)]


def test_the_command_and_what_verify_says(root: Path) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["store", *arguments, "--store", str(root)])
        assert result.exit_code == 0, result.output
        return result.output

    assert "index" not in run("verify")
    assert run("compact") == "5 of 5 runs in the index\n"
    assert run("compact") == "5 of 5 runs in the index; nothing has changed\n"
    assert "index" not in run("verify")
    shutil.rmtree(the(root, "run-2"))
    add_run(root, "run-6", "A")
    assert "the index is behind by 2 runs; stbench store compact" in run("verify")


def test_an_absent_store_stays_absent(tmp_path: Path) -> None:
    assert compact(tmp_path / "none") == compaction.Compaction(0, 0, written=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("compacted", [False, True])
def test_a_store_reads_alike_however_its_folder_is_spelt(
    compacted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = random_slides(1)
    commit_run(tmp_path / "store", make_cell("B"), "run-1", values, {"B1": values["B1"]})
    if compacted:
        compact(tmp_path / "store")
    monkeypatch.chdir(tmp_path / "store")
    sql = "SELECT slide, metric, value FROM slide_scores ORDER BY ALL"

    spellings = (tmp_path / "store", Path("."), Path("../store"), tmp_path / "store" / ".." / "store")
    found = [Store(root).query(sql).to_pylist() for root in spellings]

    assert found[0]
    assert all(rows == found[0] for rows in found)


def test_compactions_and_verifications_beside_writers_see_whole_runs_only(tmp_path: Path) -> None:
    root, values = tmp_path / "store", random_slides(1)
    Layout(root).create()
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not stop.is_set():
            compact(root)
            assert verify(root).problems == []
            seen.append(len(Store(root).query("SELECT DISTINCT run_id FROM moments")))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for number in range(20):
                cell = make_cell("B", seed=number)
                commit_run(root, cell, f"run-{number:02d}", {"B1": values["B1"]}, {"B1": values["B1"]})
        finally:
            stop.set()
        reading.result()
    assert seen
    assert seen == sorted(seen)
    compact(root)
    assert len(Store(root).query("SELECT DISTINCT run_id FROM moments")) == 20
