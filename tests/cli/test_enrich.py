"""``stbench enrich``, as it is typed."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import SLIDES, commit_run, make_cell, random_slides

TRUTH = random_slides(0, shape=(30, 20))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for k in (1, 2):
        for patient in "ABC":
            test = {
                s: (TRUTH[s] + np.where(np.arange(20) < 6, 0.2, 20) * rng.normal(size=(30, 20))).astype(np.float32)
                for s, p in SLIDES.items()
                if p == patient
            }
            commit_run(tmp_path / "store", make_cell(patient, params={"k": k}), f"run-{k}-{patient}", TRUTH, test)
    return tmp_path / "store"


@pytest.fixture
def gmt(tmp_path: Path) -> Path:
    path = tmp_path / "sets.gmt"
    good, poor = ("\t".join(f"G{i}" for i in numbers) for numbers in (range(1, 7), range(7, 21)))
    path.write_text(f"good\t\t{good}\npoor\t\t{poor}\ntiny\t\tG1\n")
    return path


def test_the_table_says_what_was_tested_against_what(in_process: Any, store: Path, gmt: Path) -> None:
    done = in_process("enrich", "--gmt", str(gmt), "-m", "method[k=1]", "-d", "hand", "--top", "6", store=store)

    assert done.returncode == 0, done.stderr
    assert "hand · stbench-v1 · method[k=1]: gene sets among the genes best by pcc" in done.stdout
    assert "selected: 6 of 20 genes, those that were scored, which are the background" in done.stdout
    assert "20 of them in the panel of all 3 folds" in done.stdout
    assert "tested: 2 of 3 sets" in done.stdout


def test_csv_and_json_hold_every_set(in_process: Any, store: Path, gmt: Path) -> None:
    command = ("enrich", "--gmt", str(gmt), "-m", "method[k=2]", "--metric", "mse", "--above", "1", "--min-size", "1")

    rows = list(csv.DictReader(in_process(*command, "--format", "csv", store=store).stdout.splitlines()))
    found = json.loads(in_process(*command, "--format", "json", store=store).stdout)

    assert [row["set"] for row in rows] == [s["name"] for s in found["sets"]] == ["good", "tiny", "poor"]
    assert sorted(rows[0]["genes"].split()) == ["G1", "G2", "G3", "G4", "G5", "G6"]
    assert float(rows[0]["p"]) == found["sets"][0]["p"] == pytest.approx(1 / 38760)
    assert (found["n_background"], found["n_selected"], found["n_folds"]) == (20, 6, 3)
    assert found["genes"][0].keys() == {"gene", "score", "n_folds"}


def test_of_several_variants_the_one_best_on_validation_is_asked_for(in_process: Any, store: Path, gmt: Path) -> None:
    refused = in_process("enrich", "--gmt", str(gmt), "-m", "method", store=store)

    assert refused.returncode == 1
    assert "method has several variants (k differ)" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--top", "3", "--above", "0.3"), "give --top or --above, not both"),
        (("--metric", "pcc_spot"), "pcc_spot has no value per gene"),
        (("--metric", "psc"), "unknown metric 'psc'"),
        (("--select", "test"), "only `validation` may choose"),
        (("--gmt", "nowhere.gmt"), "nowhere.gmt cannot be read as a GMT file"),
    ],
)
def test_a_wrong_request_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, in_process: Any, store: Path, gmt: Path
) -> None:
    refused = in_process("enrich", "--gmt", str(gmt), "-m", "method[k=1]", *arguments, store=store)

    assert refused.returncode == 1
    assert sentence in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
