"""``stbench compare`` and the leaderboard's breakdowns, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import SLIDES, commit_run, make_cell, random_slides

TRUTH = random_slides(0, shape=(40, 6))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two models and two parameter sets of a third, over three patients."""
    rng = np.random.default_rng(0)
    for model, noise, params in (
        ("good", 0.3, {}),
        ("poor", 3.0, {}),
        ("swept", 0.3, {"k": 1}),
        ("swept", 3.0, {"k": 2}),
    ):
        for patient in "ABC":
            test = {s: TRUTH[s] + rng.normal(0, noise, TRUTH[s].shape) for s, p in SLIDES.items() if p == patient}
            cell = make_cell(patient, model=model, params=params)
            predicted = {s: v.astype(np.float32) for s, v in test.items()}
            commit_run(tmp_path / "store", cell, f"{model}-{params}-{patient}", TRUTH, predicted)
    return tmp_path / "store"


def test_a_clear_difference_reads_as_one(in_process: Any, store: Path) -> None:
    done = in_process("compare", "good", "poor", store=store)

    assert done.returncode == 0
    assert "hand · stbench-v1 · pcc" in done.stdout
    assert "good is better by" in done.stdout
    assert "paired t test p" in done.stdout
    assert "smallest difference resolvable" in done.stdout


def test_json_holds_the_numbers_and_the_sentence(in_process: Any, store: Path) -> None:
    done = in_process("compare", "poor", "swept[k=1]", "--metric", "mse", "--format", "json", store=store)

    (found,) = json.loads(done.stdout)
    assert (found["first"], found["second"], found["metric"]) == ("poor", "swept[k=1]", "mse")
    assert found["better"] == "second"
    assert found["n_units"] == 3
    assert found["verdict"] == "different"
    assert found["sentence"].startswith("swept[k=1] is better")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("compare", "good", "swept"), "swept has several variants (k differ); name one, as in 'swept[k=…]'"),
        (("compare", "good", "bad"), "no finished run of model 'bad' here; there are runs of: good, poor, swept"),
        (("compare", "good", "poor", "--metric", "psc"), "unknown metric 'psc'; did you mean"),
        (("compare", "good", "swept[k=1,2]"), "swept[k=1,2]: give one value of k"),
        (("leaderboard", "--by", "batch"), "--by 'batch' is none of gene, slide, patient, region, technology"),
        (("leaderboard", "--select", "test"), "only `validation` may choose; nothing is chosen by test scores"),
        (("leaderboard", "--by", "gene", "--metric", "pcc_q1"), "pcc_q1 has no value per gene"),
    ],
)
def test_wrong_requests_are_explained(in_process: Any, store: Path, arguments: tuple[str, ...], sentence: str) -> None:
    done = in_process(*arguments, store=store)

    assert done.returncode == 1
    assert sentence in done.stderr


@pytest.mark.parametrize("by", ["gene", "slide", "patient", "region", "technology", "organ"])
def test_the_leaderboard_breaks_down(in_process: Any, store: Path, by: str) -> None:
    shown = in_process("leaderboard", "--by", by, store=store)
    rows = json.loads(in_process("leaderboard", "--by", by, "--format", "json", store=store).stdout)

    assert f"hand · stbench-v1 · by {by}" in shown.stdout
    assert {row["model"] for row in rows} == {"good", "poor", "swept"}
    assert all(row[by] and row["by"] == by for row in rows)


def test_published_numbers_have_columns_of_their_own(in_process: Any, store: Path) -> None:
    done = in_process("leaderboard", "--published", store=store)

    assert "published" in done.stdout
    assert "printed in" in done.stdout
