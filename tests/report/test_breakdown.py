"""One metric part by part, against the numbers worked out by numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import SLIDES, commit_run, make_cell, random_slides, slide_pcc

from stbench.errors import UsageError
from stbench.registry import discover
from stbench.report.breakdown import breakdown
from stbench.report.scores import read_scores
from stbench.store import Store

TRUTH = random_slides(0)
PREDICTED = {s: (t + np.random.default_rng(1).normal(0, 0.7, t.shape)).astype(np.float32) for s, t in TRUTH.items()}
GENE_RANK = {"metric": "rank", "gene": "G1", "value": 0.25}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for patient in "ABC":
        test = {s: PREDICTED[s] for s, p in SLIDES.items() if p == patient}
        rows = [GENE_RANK | {"slide": s} for s in test]
        commit_run(tmp_path, make_cell(patient), f"run-{patient}", TRUTH, test, metrics=rows)
    return tmp_path


def parts(root: Path, by: str, metric: str = "pcc") -> dict[str, dict[str, Any]]:
    store = Store(root)
    return {row[by]: row for row in breakdown(store, read_scores(store, discover()), by, metric)}


def test_by_slide_and_by_patient(root: Path) -> None:
    r = {s: slide_pcc(TRUTH[s], PREDICTED[s]) for s in SLIDES}

    slides, patients = parts(root, "slide"), parts(root, "patient")

    assert {s: row["value"] for s, row in slides.items()} == pytest.approx(r)
    assert patients["A"]["value"] == pytest.approx((r["A1"] + r["A2"]) / 2)
    assert (patients["A"]["n_units"], patients["A"]["ci_low"]) == (2, None)


def test_by_gene_slides_are_averaged_inside_patients(root: Path) -> None:
    def r(slide: str) -> float:
        return float(np.corrcoef(TRUTH[slide][:, 1], PREDICTED[slide][:, 1])[0, 1])

    row = parts(root, "gene")["G2"]

    assert row["value"] == pytest.approx(np.mean([(r("A1") + r("A2")) / 2, r("B1"), r("C1")]))
    assert (row["n_units"], row["unit"]) == (3, "patient")


def test_by_gene_takes_a_plugins_metric(root: Path) -> None:
    with pytest.raises(UsageError, match="rank has no value per gene"):
        parts(root, "gene", "rank")  # nobody has registered it


@pytest.mark.parametrize("metric", ["pcc", "mse", "mae", "rmse", "r2"])
def test_by_region_only_its_spots_count(root: Path, metric: str) -> None:
    def score(slide: str) -> float:
        half = slice(0, 6)
        t, p = TRUTH[slide][half].astype(float), PREDICTED[slide][half].astype(float)
        squared = ((t - p) ** 2).mean(0)
        return float(
            {
                "pcc": np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(t.T, p.T, strict=True)]),
                "mse": squared.mean(),
                "mae": np.abs(t - p).mean(),
                "rmse": np.sqrt(squared).mean(),
                "r2": (1 - squared / t.var(0)).mean(),
            }[metric]
        )

    row = parts(root, "region", metric)["upper"]

    assert row["value"] == pytest.approx(np.mean([(score("A1") + score("A2")) / 2, score("B1"), score("C1")]))


def test_by_what_the_slide_is(root: Path) -> None:
    r = {s: slide_pcc(TRUTH[s], PREDICTED[s]) for s in SLIDES}

    found = parts(root, "technology")

    assert found["Visium"]["value"] == pytest.approx((r["A1"] + r["A2"]) / 2)
    assert found["ST"]["value"] == pytest.approx((r["B1"] + r["C1"]) / 2)
    assert (found["ST"]["n_units"], found["Visium"]["ci_low"]) == (2, None)
    assert set(parts(root, "organ")) == {"breast"}


def test_a_metric_of_whole_folds_has_no_slides(root: Path) -> None:
    with pytest.raises(UsageError, match="pcc_pooled has no value per slide"):
        parts(root, "slide", "pcc_pooled")
    with pytest.raises(UsageError, match="pcc_pooled is not computed inside regions"):
        parts(root, "region", "pcc_pooled")
