"""Plain definitions of the derived metrics against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from stbench.metrics import derived
from stbench.stats import gene_moments


def example(seed: int, n: int = 50, genes: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 2, (n, genes)).astype(np.float32)
    return truth, (rng.uniform(-1, 1, genes) * truth + rng.normal(0, 1, (n, genes))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_against_scipy_and_scikit_learn(seed: int) -> None:
    truth, prediction = example(seed)
    m = gene_moments(truth, prediction, np.ones(truth.shape, bool))
    marks = {"hvg50": np.arange(9) < 4, "heg50": np.arange(9) > 5}
    r = np.array([pearsonr(truth[:, g].astype(float), prediction[:, g].astype(float))[0] for g in range(9)])

    expected = {
        derived.pcc: r.mean(),
        derived.pcc_q1: np.quantile(r, 0.25),
        derived.pcc_median: np.median(r),
        derived.pcc_hvg50: r[:4].mean(),
        derived.pcc_heg50: r[6:].mean(),
        derived.n_pcc_above_03: (r > 0.3).sum(),
        derived.r2: r2_score(truth, prediction),
        derived.mse: ((truth - prediction).astype(float) ** 2).mean(),
        derived.mae: mean_absolute_error(truth, prediction),
        derived.rmse: root_mean_squared_error(truth, prediction),
    }

    for function, value in expected.items():
        assert function(m, marks) == pytest.approx(value, rel=1e-5), function.__name__


def test_constant_predictions_count_as_zero_and_constant_truth_is_left_out() -> None:
    truth, prediction = example(0, genes=3)
    r = pearsonr(truth[:, 0].astype(float), prediction[:, 0].astype(float))[0]
    prediction[:, 1] = 0.1
    truth[:, 2] = 5
    m = gene_moments(truth, prediction, np.ones(truth.shape, bool))

    assert derived.gene_pcc(m)[:2] == pytest.approx([r, 0.0])
    assert np.isnan(derived.gene_pcc(m)[2])
    assert derived.pcc(m, {}) == pytest.approx(r / 2)


def test_nothing_defined_is_none() -> None:
    nothing = gene_moments(*example(0), np.zeros((50, 9), bool))
    marks = {"hvg50": np.ones(9, bool), "heg50": np.zeros(9, bool)}

    for name in ("pcc", "pcc_q1", "pcc_median", "pcc_hvg50", "pcc_heg50", "n_pcc_above_03", "r2", "mse", "mae", "rmse"):
        assert getattr(derived, name)(nothing, marks) is None, name


def test_no_marked_gene_is_none() -> None:
    m = gene_moments(*example(0), np.ones((50, 9), bool))

    assert derived.pcc_heg50(m, {"heg50": np.zeros(9, bool)}) is None


def test_a_perfect_prediction_has_no_error() -> None:
    truth, _ = example(0)
    m = gene_moments(truth, truth, np.ones(truth.shape, bool))

    assert (derived.pcc(m, {}), derived.r2(m, {})) == pytest.approx((1.0, 1.0))
    assert derived.mae(m, {}) == 0.0
    assert 0 <= derived.mse(m, {}) < 1e-12
    assert 0 <= derived.rmse(m, {}) < 1e-6


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(-10, 10))
def test_correlation_ignores_scale_and_offset(seed: int, scale: float, offset: float) -> None:
    truth, prediction = example(seed)
    everything = np.ones(truth.shape, bool)

    before = derived.gene_pcc(gene_moments(truth, prediction, everything))
    after = derived.gene_pcc(gene_moments(truth, (scale * prediction + offset).astype(np.float32), everything))

    assert after == pytest.approx(before, abs=1e-3)
    assert (np.abs(after) <= 1).all()
