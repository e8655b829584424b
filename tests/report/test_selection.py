"""Choosing by validation: per fold, and blind to the test scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from handmade import SLIDES, commit_run, make_cell, moments_rows, random_slides, slide_pcc

from stbench.registry import discover
from stbench.report.leaderboard import leaderboard
from stbench.store import Store, schema
from stbench.store.schema import writer_options

TRUTH = random_slides(0, shape=(30, 4))


def noisy(noise: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {s: (t + rng.normal(0, noise, t.shape)).astype(np.float32) for s, t in TRUTH.items()}


def commit(root: Path, k: int, test: dict[str, np.ndarray], validated: dict[str, float]) -> None:
    """Runs of one parameter set; `validated` says how good the validation of each fold is, -1 to 1."""
    for patient, quality in validated.items():
        held_out = {s: test[s] for s, p in SLIDES.items() if p == patient}
        run_id = f"run-{k}-{patient}"
        folder = commit_run(root, make_cell(patient, model="model", params={"k": k}), run_id, TRUTH, held_out)
        other = next(s for s, p in SLIDES.items() if p != patient)
        add_validation(folder, run_id, other, quality)


def add_validation(folder: Path, run_id: str, slide: str, quality: float) -> None:
    import json

    import pyarrow.parquet as pq

    predicted = (quality * TRUTH[slide]).astype(np.float32)
    constants = {"run_id": run_id, "split": "validation", "slide": slide}
    path = folder / "moments.parquet"
    table = pa.concat_tables([pq.read_table(path), moments_rows(schema.MOMENTS, constants, TRUTH[slide], predicted)])
    pq.write_table(table.unify_dictionaries(), path, **writer_options(schema.MOMENTS))
    record = json.loads((folder / "run.json").read_text())
    record["files"]["moments.parquet"] = path.stat().st_size
    (folder / "run.json").write_text(json.dumps(record))


def test_each_fold_chooses_by_its_own_validation_and_never_by_test(tmp_path: Path) -> None:
    good, bad = noisy(0.1, 1), noisy(3.0, 2)
    commit(tmp_path, 1, good, {"A": -1.0, "B": 1.0, "C": -1.0})  # better on test, worse on validation of A and C
    commit(tmp_path, 2, bad, {"A": 1.0, "B": -1.0, "C": 1.0})

    found = leaderboard(Store(tmp_path), discover(), metrics=["pcc"], select_by="pcc")

    (row,) = found.rows
    r = {s: slide_pcc(TRUTH[s], (good if p == "B" else bad)[s]) for s, p in SLIDES.items()}
    assert row["value"] == pytest.approx(np.mean([(r["A1"] + r["A2"]) / 2, r["B1"], r["C1"]]))
    assert row["params"] == "chosen per fold by validation"
    assert (row["coverage"], row["n_units"]) == (1.0, 3)
    assert "6 runs of several parameter sets: one set is chosen per fold by validation pcc" in found.notes


def test_one_parameter_set_is_left_alone(tmp_path: Path) -> None:
    commit(tmp_path, 1, noisy(0.5, 1), {"A": 1.0, "B": 1.0, "C": 1.0})

    (row,) = leaderboard(Store(tmp_path), discover(), metrics=["pcc"], select_by="pcc").rows

    assert row["params"] == {"k": 1}


def test_a_fold_without_validation_scores_is_left_out_and_said(tmp_path: Path) -> None:
    commit(tmp_path, 1, noisy(0.5, 1), {"A": 1.0, "B": 1.0})
    commit(tmp_path, 2, noisy(0.5, 1), {"A": 0.5, "B": 0.5})
    for k in (1, 2):
        test = {"C1": TRUTH["C1"]}
        commit_run(tmp_path, make_cell("C", model="model", params={"k": k}), f"run-{k}-C", TRUTH, test)

    found = leaderboard(Store(tmp_path), discover(), metrics=["pcc"], select_by="pcc")

    assert found.rows[0]["folds"] == ["A", "B"]
    assert "1 folds have no validation score to choose by and are left out" in found.notes
