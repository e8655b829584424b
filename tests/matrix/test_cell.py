"""Keys of cells: stored results are found by them, so they never change by accident."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stbench.matrix import Cell
from stbench.protocols import Block, Fold, Part

LEARNT = Cell(
    dataset="her2st",
    dataset_revision="0123456789abcdef",
    dataset_distribution="stbench",
    protocol="stbench-v1",
    protocol_version="1",
    protocol_distribution="stbench",
    fold=Fold("A", (Part("B1"), Part("C1")), (Part("D1"),), (Part("A1"), Part("A2"))),
    model="histogene",
    model_distribution="stbench-histogene",
    results_version="1",
    params={"lr": 1e-05, "epochs": 100, "weights": "/home/me/w.safetensors"},
    params_by_content={"lr": 1e-05, "epochs": 100, "weights": "sha256:00ff"},
    seed=0,
    patients={"A1": "A", "A2": "A", "B1": "B", "C1": "C", "D1": "D"},
    complete_parts=36,
)

DETERMINISTIC = Cell(
    dataset="simulated",
    dataset_revision="863524baeb6b27b7",
    dataset_distribution="stbench",
    protocol="stbench-blocks-v1",
    protocol_version="1",
    protocol_distribution="stbench",
    fold=Fold(
        "block-5",
        (Part("P1-S1", Block("row", 0.8, 1.2, keep="outside")),),
        (Part("P1-S1", Block("row", 0.0, 0.2)),),
        (Part("P1-S1", Block("row", 0.8, 1.0)),),
    ),
    model="mean",
    model_distribution="stbench",
    results_version="1",
    params={},
    params_by_content={},
    seed=None,
    patients={"P1-S1": "P1"},
    complete_parts=1,
)


def test_golden_keys() -> None:
    """A change here makes every stored result a stranger: raise `SPECIFICATION` or `NUMERICS` if it is meant."""
    assert LEARNT.key == "faf655ef8f832d339c8a"
    assert DETERMINISTIC.key == "1e2ac78b7fdd66766796"


NOT_IN_THE_KEY = {
    "predict_stage": ("epochs",),
    "params": {"lr": 1e-05, "epochs": 100, "weights": "/scratch/elsewhere.safetensors"},  # a path, not its content
    "preset": "smoke",
    "control": True,
    "distributions": {"stbench": "9.9"},
    "patients": {},
    "overlaps": ("same_patient",),
    "declared": ("same_patient",),
    "complete_parts": 7,
    "test_distribution": "other",
    "dataset_distribution": "other",  # the revision is the data's content, whoever brings it
}


@pytest.mark.parametrize("field", NOT_IN_THE_KEY)
def test_paths_presets_and_what_is_only_shown_do_not_change_the_key(field: str) -> None:
    assert LEARNT.model_copy(update={field: NOT_IN_THE_KEY[field]}).key == LEARNT.key


def test_the_name_of_a_fold_does_not_change_the_key() -> None:
    renamed = Fold("0", LEARNT.fold.train, LEARNT.fold.validation, LEARNT.fold.test)

    assert LEARNT.model_copy(update={"fold": renamed}).key == LEARNT.key


IN_THE_KEY = {
    "dataset": "her2st-2",
    "dataset_revision": "0123456789abcdee",
    "protocol": "stbench-section-v1",
    "protocol_version": "2",
    "protocol_distribution": "other",
    "model": "hist2st",
    "model_distribution": "other",
    "results_version": "2",
    "source_digest": "abc",
    "params_by_content": {"lr": 1e-05, "epochs": 100, "weights": "sha256:00fe"},
    "precision": "bf16-mixed",
    "seed": 1,
}
TRAIN, VALIDATION, TEST = LEARNT.fold.train, LEARNT.fold.validation, LEARNT.fold.test
OTHER_FOLDS = {
    "train": Fold("A", TRAIN[:1], VALIDATION, TEST),
    "validation": Fold("A", TRAIN, (), TEST),
    "test": Fold("A", TRAIN, VALIDATION, TEST[:1]),
    "block": Fold("A", TRAIN, VALIDATION, (Part("A1"), Part("A2", Block("row", 0, 1)))),
    "buffer": Fold("A", TRAIN, VALIDATION, (Part("A1"), Part("A2", Block("row", 0, 1, buffer=2)))),
}


def test_every_part_of_the_specification_changes_the_key() -> None:
    variants = [LEARNT.model_copy(update={field: value}) for field, value in IN_THE_KEY.items()]
    variants += [LEARNT.model_copy(update={"fold": fold}) for fold in OTHER_FOLDS.values()]

    keys = [cell.key for cell in (LEARNT, *variants)]

    assert len(set(keys)) == len(keys)


def test_every_field_is_either_in_the_key_or_not() -> None:
    known = {*IN_THE_KEY, *NOT_IN_THE_KEY, "fold"}

    assert set(Cell.model_fields) == known


def test_a_cell_survives_its_file_with_the_same_key() -> None:
    for cell in (LEARNT, DETERMINISTIC):
        again = Cell.model_validate_json(cell.model_dump_json())
        assert again == cell
        assert again.key == cell.key


def test_the_key_is_the_same_in_another_process() -> None:
    code = "import sys; from stbench.matrix import Cell; print(Cell.model_validate_json(sys.stdin.read()).key)"

    ran = subprocess.run(
        [sys.executable, "-c", code], input=LEARNT.model_dump_json(), capture_output=True, text=True, check=True
    )

    assert ran.stdout.strip() == LEARNT.key


def test_it_reads_as_one_line() -> None:
    assert str(LEARNT) == "her2st/stbench-v1 fold A histogene seed 0"
    assert str(DETERMINISTIC) == "simulated/stbench-blocks-v1 fold block-5 mean"
