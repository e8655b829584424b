from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from stbench.datasets import DatasetContext
from stbench.errors import UsageError
from stbench.execution import run_cell
from stbench.execution.processes import cores
from stbench.execution.reproduce import refuse_if_impossible, run_again
from stbench.execution.reproduce.again import device_like, without_results
from stbench.slides.cache_folders import computed


@pytest.fixture
def fresh_fork_server() -> Iterator[None]:
    """As in a command of its own: what earlier tests told the server about threads is forgotten."""
    forkserver._forkserver._stop()
    yield
    forkserver._forkserver._stop()


def test_the_new_run_has_the_cell_the_threads_and_what_was_kept_of_the_first(
    toys: Any, tmp_path: Path, fresh_fork_server: None
) -> None:
    record = run_cell(toys.cell("toy-good"), toys.options)
    options = toys.options.model_copy(update={"store": tmp_path / "again"})
    record.environment |= {"threads": 1}

    again = run_again(record, options)

    assert (again.cell, again.status, again.environment["threads"]) == (record.cell, "ok", 1)
    assert set(again.files) == set(record.files)
    assert again.run_id != record.run_id


def test_more_threads_than_there_are_cores_are_not_asked_for(toys: Any, tmp_path: Path) -> None:
    record = run_cell(toys.cell("mean"), toys.options)
    record.environment |= {"threads": 10_000}

    again = run_again(record, toys.options.model_copy(update={"store": tmp_path / "again"}))

    assert again.environment["threads"] <= cores()


@pytest.mark.parametrize(("then", "now"), [("cpu", "cpu"), ("auto", "auto"), ("elsewhere", "auto")])
def test_a_device_this_machine_has_is_used_again(then: str, now: str) -> None:
    assert device_like(then) == now


def test_a_gpu_that_is_not_here_is_replaced_by_the_best_there_is() -> None:
    import torch

    expected = "cuda:0" if torch.cuda.is_available() else "auto"
    assert device_like("cuda:99") == expected


def test_a_cache_without_results_shares_the_data_and_computes_the_rest(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in ("data", "simulated", *computed()):
        (cache / name).mkdir(parents=True)
        (cache / name / "file").write_text(name)

    found = without_results(cache, tmp_path / "fresh")

    assert sorted(path.name for path in found.iterdir()) == ["data", "simulated"]
    (found / "data" / "downloaded").write_text("kept")
    assert (cache / "data" / "downloaded").exists()


def test_an_interrupted_run_has_nothing_to_reproduce(toys: Any) -> None:
    record = run_cell(toys.cell("mean"), toys.options).model_copy(update={"status": "interrupted"})

    with pytest.raises(
        UsageError, match=r"interrupted by its user.*stbench run -m mean -d toy -p stbench-v1 --folds P1"
    ):
        refuse_if_impossible(record, toys.registry, DatasetContext(toys.cache_dir))
