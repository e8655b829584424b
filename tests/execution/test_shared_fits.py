"""Cells that differ in predict-stage parameters alone train once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stbench.execution import run_cell
from stbench.execution.shared_fits import forget_fits
from stbench.matrix import Cell
from stbench.store import Store

TRAINING = 0.3
"""Seconds."""


@pytest.fixture
def fitted(toys: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one with each training."""
    import stbench_toy_models as toy_models  # the fixture before puts it on the path

    calls: list[str] = []
    honest = toy_models.Linear.fit

    def counting(self: Any, *slides: Any) -> None:
        calls.append(type(self).__name__)
        honest(self, *slides)
        time.sleep(TRAINING)

    monkeypatch.setattr(toy_models.Linear, "fit", counting)
    return calls


@pytest.fixture(autouse=True)
def apart(toys: Any, tmp_path: Path) -> None:
    """Give each test a cache of its own."""
    toys.cache_dir = tmp_path / "cache"
    toys.options = toys.options.model_copy(update={"cache_dir": toys.cache_dir})


def scaled(toys: Any, **params: float) -> Cell:
    return toys.cell("toy-scaled", settings={"toy-scaled": params})


def test_the_fit_key_leaves_out_what_training_does_not_depend_on(toys: Any) -> None:
    one, two, other = scaled(toys, scale=1), scaled(toys, scale=2), scaled(toys, scale=2, ridge=1)

    assert one.predict_stage == ("scale",)
    assert one.key != two.key
    assert one.fit_key == two.fit_key != other.fit_key
    assert toys.cell("toy-scaled", fold="P2").fit_key != one.fit_key


def test_the_second_cell_takes_the_fit_of_the_first(toys: Any, fitted: list[str]) -> None:
    cells = [scaled(toys, scale=s) for s in (1, 2)]

    first, second = (run_cell(cell, toys.options, shares_fit=True) for cell in cells)

    assert fitted == ["Scaled"]
    assert (first.status, second.status) == ("ok", "ok")
    assert second.cost.seconds["fit"] >= TRAINING  # it counts, whoever did it
    predicted = {key: table["y_pred"].to_numpy() for key, table in predictions(toys)}
    assert predicted[second.run_id] == pytest.approx(2 * predicted[first.run_id])


def test_a_cell_alone_leaves_nothing(toys: Any, fitted: list[str]) -> None:
    run_cell(scaled(toys, scale=1), toys.options)

    assert not (toys.cache_dir / "fits").exists()


def test_a_damaged_or_removed_fit_is_trained_again(toys: Any, fitted: list[str]) -> None:
    cells = [scaled(toys, scale=s) for s in (1, 2, 3)]
    run_cell(cells[0], toys.options, shares_fit=True)
    (toys.cache_dir / "fits" / cells[0].fit_key / "weights.npy").write_bytes(b"cut off")

    assert run_cell(cells[1], toys.options, shares_fit=True).status == "ok"
    forget_fits(toys.cache_dir, [cells[0].fit_key])
    assert not list((toys.cache_dir / "fits").iterdir())
    assert run_cell(cells[2], toys.options, shares_fit=True).status == "ok"

    assert len(fitted) == 3


def test_a_model_that_cannot_be_kept_is_trained_for_each(toys: Any, fitted: list[str]) -> None:
    for _ in range(2):
        run_cell(toys.cell("toy-good"), toys.options, shares_fit=True)

    assert fitted == ["Good", "Good"]


def predictions(toys: Any) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet as pq

    for record in Store(toys.store).records.values():
        (path,) = toys.store.glob(f"runs/**/{record.cell_key}-*/predictions.parquet")
        yield record.run_id, pq.read_table(path)
