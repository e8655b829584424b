"""Two runs of a cell, one of them altered on purpose: the first stage that differs is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stbench.errors import StoreError
from stbench.execution import run_cell
from stbench.execution.reproduce import Reproduction, StoredRun, compare
from stbench.store import Store

TOLERANCE = 1e-4
Edit = Callable[[np.ndarray], np.ndarray]


@dataclass
class Twice:
    """A cell that was run twice, each time into a store of its own."""

    then: Path
    now: Path
    registry: Any

    def edit(self, pattern: str, column: str, change: Edit) -> None:
        """Alter a column of one file of the first store."""
        (path,) = self.then.glob(pattern)
        table = pq.read_table(path)
        values = pa.array(change(table[column].to_numpy().copy())).cast(table[column].type)
        pq.write_table(table.set_column(table.schema.get_field_index(column), table.schema.field(column), values), path)

    def record(self, **changes: Any) -> None:
        """Alter the first record."""
        (path,) = self.then.glob("runs/*/*/*/*/run.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def compare(self, tolerance: float = TOLERANCE) -> Reproduction:
        return compare(stored(self.then), stored(self.now), self.registry, tolerance)


def stored(root: Path) -> StoredRun:
    layout = Store(root).layout
    ((folder, record),) = Store(root).records.items()
    return StoredRun(layout, folder, record)


def outcomes(found: Reproduction) -> dict[str, str]:
    return {stage.name: stage.outcome for stage in found.stages}


def said(found: Reproduction, stage: str) -> str:
    return "\n".join(next(s.said for s in found.stages if s.name == stage))


@pytest.fixture
def twice(toys: Any, tmp_path: Path) -> Callable[..., Twice]:
    def run(model: str = "toy-good", again: str = "") -> Twice:
        stores = tmp_path / "then", tmp_path / "now"
        for store, name in zip(stores, (model, again or model), strict=True):
            run_cell(toys.cell(name), toys.options.model_copy(update={"store": store}))
        return Twice(*stores, toys.registry)

    return run


def sizes_of_today(twice: Twice) -> None:
    """Make the first record agree with files that were altered."""
    (path,) = twice.then.glob("runs/*/*/*/*/run.json")
    twice.record(files={p.name: p.stat().st_size for p in path.parent.glob("*.parquet")})


def test_the_same_cell_is_bit_equal(twice: Any) -> None:
    found = twice().compare(tolerance=0)

    assert (found.verdict, found.first_difference, found.code, found.environment) == ("bit-equal", None, (), ())
    assert outcomes(found) == {
        "data": "same", "code": "same", "protocol": "bit-equal", "predict": "bit-equal", "score": "bit-equal",
    }  # fmt: skip
    assert "P1-S1: 40 spots × 15 genes" in said(found, "protocol")


@pytest.mark.parametrize(("shift", "verdict"), [(1e-6, "within tolerance"), (0.1, "different")])
def test_predictions_that_moved(shift: float, verdict: str, twice: Any) -> None:
    pair = twice()
    pair.edit("runs/*/*/*/*/predictions.parquet", "y_pred", lambda v: v + np.float32(shift))
    sizes_of_today(pair)

    found = pair.compare()

    assert (found.verdict, found.first_difference) == (verdict, "predict")
    (stage,) = (s for s in found.stages if s.name == "predict")
    assert stage.difference is not None
    assert stage.difference.largest == pytest.approx(shift, rel=0.2)
    assert stage.difference.n == 40 * 15


def test_one_value_that_was_not_predicted_is_different(twice: Any) -> None:
    pair = twice()

    def forget(values: np.ndarray) -> np.ndarray:
        return np.ma.masked_array(values, np.arange(len(values)) == 7)

    pair.edit("runs/*/*/*/*/predictions.parquet", "y_pred", forget)
    sizes_of_today(pair)

    found = pair.compare()

    assert found.first_difference == "predict"
    assert "slide P1-S1: 1 entries are predicted in one and not in the other" in said(found, "predict")


def test_stated_deviations_are_compared_too(twice: Any) -> None:
    pair = twice("toy-streams")
    pair.edit("runs/*/*/*/*/predictions.parquet", "y_std", lambda v: v * 2)
    sizes_of_today(pair)

    assert pair.compare().first_difference == "predict"


def test_an_edited_truth_is_found_under_its_old_key(twice: Any) -> None:
    pair = twice()
    pair.edit("truth/*/truth.parquet", "y_true", lambda v: v + np.where(np.arange(len(v)) == 3, np.float32(1), 0))

    found = pair.compare()

    assert (found.verdict, found.first_difference) == ("different", "protocol")
    assert "is not the one that was written under its key" in said(found, "protocol")
    assert outcomes(found)["predict"] == outcomes(found)["score"] == "bit-equal"


def test_an_edited_mask_and_an_edited_panel_are_named(twice: Any) -> None:
    pair = twice()
    pair.edit("truth/*/truth.parquet", "measured", lambda v: v & (np.arange(len(v)) > 1))
    masked = said(pair.compare(), "protocol")
    pair.edit("truth/*/spots.parquet", "spot", lambda v: np.where(np.arange(len(v)) == 0, "elsewhere", v))
    renamed = pair.compare()

    assert "2 entries are measured in one and not in the other" in masked
    assert "1 of 40 spots are gone, 1 are new" in said(renamed, "protocol")
    assert renamed.first_difference == "protocol"


def test_another_key_of_the_same_values_is_said_and_no_difference(twice: Any) -> None:
    pair = twice()
    (folder,) = pair.then.glob("truth/*")
    (run,) = pair.then.glob("runs/*/*/*/*")
    folder.rename(folder.with_name("older"))
    test = [{"slide": "P1-S1", "patient": "P1", "truth_key": "older", "n_spots": 40}]
    pair.edit("runs/*/*/*/*/predictions.parquet", "truth_key", lambda v: np.full(len(v), "older"))
    pair.record(test=test, files={p.name: p.stat().st_size for p in run.glob("*.parquet")})

    found = pair.compare()

    assert found.verdict == "bit-equal"
    assert "the truth's key changed" in said(found, "protocol")


def test_scores_that_moved_alone_are_found(twice: Any) -> None:
    pair = twice()
    pair.edit("runs/*/*/*/*/moments.parquet", "ss_pred", lambda v: v * 1.5)
    sizes_of_today(pair)

    found = pair.compare()

    assert (found.verdict, found.first_difference) == ("different", "score")
    assert "mean r over genes and test slides" in said(found, "score")


def test_a_metric_that_moved_alone_is_named(twice: Any) -> None:
    pair = twice()
    pair.edit("runs/*/*/*/*/metrics.parquet", "value", lambda v: v + 0.01)
    sizes_of_today(pair)

    found = pair.compare()

    assert (found.verdict, found.first_difference) == ("different", "score")
    assert "beyond the tolerance: metrics " in said(found, "score")


def test_metrics_of_another_version_or_of_one_run_alone_are_not_compared(twice: Any) -> None:
    pair = twice()

    def older(versions: np.ndarray) -> np.ndarray:
        return np.full(len(versions), "0")

    pair.edit("runs/*/*/*/*/metrics.parquet", "version", older)
    pair.edit("runs/*/*/*/*/metrics.parquet", "value", lambda v: v + 1)
    sizes_of_today(pair)
    versions = pair.compare()
    pair.edit("runs/*/*/*/*/metrics.parquet", "metric", lambda v: np.full(len(v), "gone"))
    sizes_of_today(pair)

    gone = pair.compare()

    assert versions.verdict == gone.verdict == "bit-equal"
    assert "not compared: metrics of another version: " in said(versions, "score")
    assert "not compared: metrics only of then: gone" in said(gone, "score")
    assert "not compared: metrics only of now: " in said(gone, "score")


def test_without_predictions_the_moments_are_compared_and_that_is_said(twice: Any) -> None:
    pair = twice()
    (path,) = pair.then.glob("runs/*/*/*/*/predictions.parquet")
    path.unlink()
    sizes_of_today(pair)

    found = pair.compare()

    assert (found.verdict, outcomes(found)["predict"]) == ("bit-equal", "not compared")
    assert "kept no predictions; its moments are compared instead" in said(found, "predict")


def test_code_and_environment_that_changed_are_named(twice: Any) -> None:
    pair = twice()
    (path,) = pair.then.glob("runs/*/*/*/*/run.json")
    record = json.loads(path.read_text())
    record["cell"]["distributions"]["stbench-toy"] = "0.9"
    record["cell"]["results_version"] = "0"
    record["environment"]["packages"]["numpy"] = "1.0"
    record["environment"]["threads"] = 64
    del record["environment"]["cpu"]
    pair.record(cell=record["cell"], environment=record["environment"], numerics="0")

    found = pair.compare()

    changed = {c.what: c.then for c in found.code}
    assert changed == {"stbench numerics": "0", "stbench-toy": "0.9", "toy-good: results version": "0"}
    assert outcomes(found)["code"] == "changed"
    assert {c.what: c.then for c in found.environment or ()} == {"package numpy": "1.0", "threads": 64}
    assert found.verdict == "bit-equal"


def test_a_failure_is_reproduced_by_the_same_kind_in_the_same_stage(twice: Any) -> None:
    found = twice("toy-fit-error").compare()

    assert (found.verdict, found.first_difference) == ("fails alike", None)
    assert "failed in fit: ValueError: no way to fit [this]" in said(found, "fit")


@pytest.mark.parametrize(
    ("model", "again"), [("toy-fit-error", "toy-predict-error"), ("toy-good", "toy-nan"), ("toy-nan", "toy-good")]
)
def test_ending_otherwise_is_different(model: str, again: str, twice: Any) -> None:
    found = twice(model, again).compare()

    assert found.verdict == "different"
    assert found.first_difference == "predict"
    assert len(found.stages) == 3


def test_a_damaged_truth_is_one_sentence(twice: Any) -> None:
    pair = twice()
    (path,) = pair.then.glob("truth/*/truth.parquet")
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(StoreError, match=r"cannot be compared: .*stbench store verify"):
        pair.compare()
