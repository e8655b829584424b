"""Large matrices: planning 10,000 cells, seeing that 10,000 are done, and what the executor adds to each of 200 cells.

The limits are those of the design: planning under 3 s, recognising under 5 s, under 0.5 s a cell with two at a time.
Making the store of 10,000 runs takes two minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from stbench.datasets import DatasetContext
from stbench.execution import RunOptions
from stbench.execution.local import run_local
from stbench.execution.task import Task
from stbench.execution.worker import new_run_id
from stbench.matrix import Cell, ModelRequest, Request, plan
from stbench.registry import discover
from stbench.store import Layout, Store
from stbench.store.compact import compact

sys.path.append(str(Path(__file__).parents[2] / "tests"))
sys.path.append(str(Path(__file__).parents[2] / "tests/toy"))
from handmade import commit_run, make_cell, random_slides

SLIDES = {f"S{i:02d}": f"P{i:02d}" for i in range(20)}
RECOGNISED = "a finished matrix of 10,000 cells"
STARTED = "a toy cell, process included; here two at a time"


@pytest.fixture(scope="module")
def toys():
    discover.cache_clear()
    yield discover()
    discover.cache_clear()


def planned(registry, cache_dir: Path, n_noises: int, n_seeds: int) -> list[Cell]:
    noises = tuple(i / 1000 for i in range(n_noises))
    request = Request((ModelRequest("toy-good", {"noise": noises}),), ("toy",), seeds=tuple(range(n_seeds)))
    return plan([request], registry, DatasetContext(cache_dir)).cells


@pytest.mark.benchmark(group="planning 10,050 cells")
def test_planning(benchmark, toys, tmp_path):
    planned(toys, tmp_path, 1, 1)  # the data set grows once
    cells = benchmark.pedantic(planned, (toys, tmp_path, 67, 50), rounds=3)

    assert len(cells) == 10_050
    assert benchmark.stats["min"] < 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("matrix") / "store"
    truth = random_slides(0, tuple(SLIDES), (3, 4))
    for model, seed, (slide, patient) in product(range(25), range(20), SLIDES.items()):
        cell = make_cell(patient, SLIDES, model=f"m{model:02d}", seed=seed)
        commit_run(root, cell, f"r{model:02d}-{seed}-{slide}", truth, {slide: truth[slide]})
    return root


@pytest.mark.benchmark(group=RECOGNISED)
def test_finished_from_files(benchmark, root):
    finished = benchmark.pedantic(lambda: Store(root, use_index=False).finished(), rounds=3)

    assert len(finished) == 10_000
    assert benchmark.stats["min"] < 5


@pytest.mark.benchmark(group=RECOGNISED)
def test_finished_from_index(benchmark, root):
    compact(root)
    benchmark.extra_info["ours"] = "from the index"
    assert len(benchmark.pedantic(lambda: Store(root).finished(), rounds=3)) == 10_000


@pytest.mark.benchmark(group=RECOGNISED)
def test_finished_by_reading_every_record(benchmark, root):
    """Nothing is checked: a truncated file would count as done."""

    def read():
        records = (json.loads(path.read_text()) for path in root.glob("runs/*/*/*/*/run.json"))
        return {record["cell_key"] for record in records if record["status"] == "ok"}

    assert len(benchmark.pedantic(read, rounds=3)) == 10_000


def tasks_of(cells: list[Cell], cache_dir: Path, store: Path) -> list[Task]:
    options = RunOptions(store=store, cache_dir=cache_dir, device="cpu", jobs=2)
    Layout(store).create()
    return [Task(cell=cell, options=options, run_id=new_run_id()) for cell in cells]


@pytest.mark.benchmark(group=STARTED)
def test_cells_by_the_local_executor(benchmark, toys, tmp_path):
    tasks = tasks_of(planned(toys, tmp_path, 1, 67)[:200], tmp_path, tmp_path / "store")
    worked, ended = [], []

    def end(task, record):
        worked.append(sum(record.cost.seconds.values()))
        ended.append(record.status)

    def run():
        started = time.perf_counter()
        run_local(tasks, tasks[0].options, lambda _: None, end)
        return time.perf_counter() - started

    run_local(tasks_of(planned(toys, tmp_path, 2, 1)[3:4], tmp_path, tmp_path / "first"), tasks[0].options,
              lambda _: None, lambda *_: None)  # the fork server imports torch once  # fmt: skip
    benchmark.extra_info["times"] = len(tasks)
    seconds = benchmark.pedantic(run, rounds=1)
    overhead = (2 * seconds - sum(worked)) / len(tasks)
    print(f"\n{len(tasks)} cells in {seconds:.1f} s, two at a time; {overhead:.3f} s a cell beside its stages")

    assert ended == ["ok"] * len(tasks)
    assert overhead < 0.5


@pytest.mark.benchmark(group=STARTED)
def test_cells_by_an_interpreter_each(benchmark, toys, tmp_path):
    """Three of them, one after the other."""
    tasks = tasks_of(planned(toys, tmp_path, 1, 1), tmp_path, tmp_path / "store")
    files = [tmp_path / f"{task.run_id}.json" for task in tasks]
    for task, file in zip(tasks, files, strict=True):
        file.write_text(task.model_dump_json())

    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "tests/toy")}

    def run():
        for file in files:
            subprocess.run([sys.executable, "-m", "stbench.execution.worker", str(file)], check=True, env=env)

    benchmark.extra_info["times"] = len(tasks)
    benchmark.pedantic(run, rounds=1)
