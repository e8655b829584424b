"""Numbers that are known: published aggregates, and small cases whose answer is plain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from handmade import commit_run, make_cell
from scipy.stats import pearsonr

from stbench.metrics import derived
from stbench.registry import discover
from stbench.report.leaderboard import leaderboard
from stbench.stats import Moments, gene_moments
from stbench.store import Store


def moments_with(r: np.ndarray, n: int) -> Moments:
    """Moments of genes with these correlations; NaN: the truth is constant."""
    one, zero = np.ones(len(r)), np.zeros(len(r))
    return Moments(np.full(len(r), n), zero, zero, np.where(np.isnan(r), 0.0, one), one, np.nan_to_num(r), zero)


@pytest.mark.parametrize(
    ("name", "n_sections", "mean", "median", "n_missing"),
    [("her2", 32, 0.19433, 0.19066, 5), ("cscc", 12, 0.21082, 0.20814, 0)],
)
def test_hggeps_reported_correlations(
    name: str, n_sections: int, mean: float, median: float, n_missing: int, test_data: Path
) -> None:
    reported = np.load(test_data / "reference" / "hggep_reported_pcc.npz")[name]
    sections = reported[:n_sections].astype(float)  # then rows of the genes' means and medians over sections

    moments = [moments_with(r, 300) for r in sections]

    assert np.isnan(sections).sum() == n_missing
    assert sum(int((m.ss_true > 0).sum()) for m in moments) == sections.size - n_missing
    assert np.mean([derived.pcc(m, {}) for m in moments]) == pytest.approx(mean, abs=5e-6)
    assert np.mean([derived.pcc_median(m, {}) for m in moments]) == pytest.approx(median, abs=5e-6)


def test_masked_correlations_are_scipys_on_the_entries_kept() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(5, 2, (7777, 256)).astype(np.float32)
    prediction = (0.3 * truth + rng.normal(0, 1, truth.shape)).astype(np.float32)
    kept = rng.random(truth.shape) > 0.26

    found = derived.gene_pcc(gene_moments(truth, prediction, kept))

    slow = [pearsonr(truth[k, g].astype(float), prediction[k, g].astype(float))[0] for g, k in enumerate(kept.T)]
    np.testing.assert_allclose(found, slow, atol=1e-6)


def test_a_small_section_counts_as_much_as_a_large_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = {name: rng.normal(size=(n, 1)).astype(np.float32) for name, n in (("A1", 176), ("A2", 712), ("B1", 300))}
    sections = dict.fromkeys(truth, "A")
    predicted = {"A1": truth["A1"], "A2": -truth["A2"], "B1": -truth["B1"]}  # r of 1, −1, −1
    commit_run(tmp_path / "store", make_cell("A", {**sections, "C1": "C"}), "run-1", truth, predicted)

    (row,) = leaderboard(Store(tmp_path / "store"), discover(), metrics=["pcc_slide"]).rows

    assert row["value"] == pytest.approx(-1 / 3)


def test_the_train_mean_on_a_shifted_section_is_worse_than_nothing() -> None:
    truth = np.random.default_rng(0).normal(2, 1, (300, 4)).astype(np.float32)
    m = gene_moments(truth, np.zeros_like(truth), np.ones(truth.shape, bool))

    assert derived.r2(m, {}) == pytest.approx(-4, abs=1)  # −shift²/variance, not clipped
    assert derived.pcc(m, {}) == 0.0
