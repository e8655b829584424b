"""Whether a cell is done, and that clocks that go wrong count nothing twice."""

from __future__ import annotations

from pathlib import Path

from handmade import commit_failure, commit_run, make_cell, make_record, random_slides

from stbench.store import Layout, Store
from stbench.store.finished import finished_run
from stbench.store.record import Cost
from stbench.store.runs import runs_table

TRUTH = random_slides(0, ("A1", "A2"))
CELL = make_cell("A")
NOW, FUTURE = "20260101T000000000000-aaaa", "20991231T000000000000-bbbb"


def test_a_cell_is_done_when_a_run_of_it_ended_well(tmp_path: Path) -> None:
    layout = Layout(tmp_path).create()
    assert finished_run(layout, CELL) is None

    commit_failure(tmp_path, CELL, FUTURE)
    assert finished_run(layout, CELL) is None

    commit_run(tmp_path, CELL, NOW, TRUTH, TRUTH)
    found = finished_run(layout, CELL)
    assert found is not None
    assert found.run_id == NOW
    assert finished_run(layout, make_cell("A", seed=1)) is None


def test_a_damaged_run_is_not_done(tmp_path: Path) -> None:
    folder = commit_run(tmp_path, CELL, NOW, TRUTH, TRUTH)
    (folder / "moments.parquet").write_bytes((folder / "moments.parquet").read_bytes()[:-1])
    assert finished_run(Layout(tmp_path), CELL) is None

    whole = commit_run(tmp_path, CELL, FUTURE, TRUTH, TRUTH)
    (whole / "run.json").write_text("{")
    assert finished_run(Layout(tmp_path), CELL) is None


def test_it_agrees_with_the_store(tmp_path: Path) -> None:
    cells = [make_cell(held_out, seed=seed) for held_out in "ABC" for seed in (0, 1)]
    for i, cell in enumerate(cells):
        (commit_run if i % 2 else commit_failure)(tmp_path, cell, f"r{i}", *((random_slides(0),) * 2 if i % 2 else ()))

    done = {cell.key for cell in cells if finished_run(Layout(tmp_path), cell)}
    assert done == Store(tmp_path).finished()


def test_a_failure_from_the_future_hides_no_finished_run(tmp_path: Path) -> None:
    commit_failure(tmp_path, CELL, FUTURE)
    commit_run(tmp_path, CELL, NOW, TRUTH, TRUTH)

    store = Store(tmp_path)
    assert store.finished() == {CELL.key}
    assert store.query("SELECT run_id FROM cells").to_pylist() == [{"run_id": NOW}]


def test_a_cell_that_finished_twice_under_two_clocks_counts_once(tmp_path: Path) -> None:
    for run_id in (NOW, FUTURE):
        commit_run(tmp_path, CELL, run_id, TRUTH, TRUTH)

    store = Store(tmp_path)
    assert store.query("SELECT count(*) AS n FROM cells").to_pylist() == [{"n": 1}]
    scored = store.query("SELECT slide, count(*) AS n FROM slide_scores WHERE metric = 'pcc' GROUP BY ALL ORDER BY 1")
    assert scored.to_pylist() == [{"slide": "A1", "n": 1}, {"slide": "A2", "n": 1}]


def test_times_on_a_shared_gpu_are_not_the_models(tmp_path: Path) -> None:
    seconds = {"fit": 3.0, "predict": 1.0, "score": 1.0}
    alone = make_record(CELL, NOW, cost=Cost(seconds=seconds))
    shared = make_record(CELL, FUTURE, cost=Cost(seconds=seconds, gpu_shared=True))

    rows = runs_table({tmp_path / "a": alone, tmp_path / "b": shared}).to_pylist()

    assert [(r["fit_seconds"], r["predict_seconds"], r["total_seconds"]) for r in rows] == [(3, 1, 5), (None, None, 5)]
