"""Plain definitions of the derived metrics against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from stbench.metrics import derived
from stbench.registry import discover
from stbench.stats import gene_moments


def example(seed: int, n: int = 50, genes: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.normal(3, 2, (n, genes)).astype(np.float32)
    return truth, (rng.uniform(-1, 1, genes) * truth + rng.normal(0, 1, (n, genes))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_against_scipy_and_scikit_learn(seed: int) -> None:
    truth, prediction = example(seed)
    m = gene_moments(truth, prediction, np.ones(truth.shape, bool))
    marks = {"hvg50": np.arange(9) < 4, "heg50": np.arange(9) > 5, "marker": np.isin(np.arange(9), [0, 8])}
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
        derived.nrmse: (np.sqrt(((truth - prediction) ** 2).mean(0)) / truth.std(0)).mean(),
        derived.pcc_markers: r[[0, 8]].mean(),
        derived.mse_pooled: ((truth - prediction).astype(float) ** 2).mean(),
        derived.mae_pooled: mean_absolute_error(truth, prediction),
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
    marks = {"hvg50": np.ones(9, bool), "heg50": np.zeros(9, bool), "marker": np.ones(9, bool)}
    functions = {r.spec.load() for r in discover().all("metric") if r.spec.derived and r.distribution == "stbench"}

    assert len(functions) > 15
    for function in functions:
        assert function(nothing, marks) is None, function.__name__


def test_the_legacy_choice_takes_the_top_50_of_the_test() -> None:
    truth, prediction = example(0, genes=70)
    truth *= np.random.default_rng(1).permutation(70) + 1
    m = gene_moments(truth, prediction, np.ones(truth.shape, bool))
    r = np.array([pearsonr(truth[:, g].astype(float), prediction[:, g].astype(float))[0] for g in range(70)])

    assert derived.pcc_hvg50_test(m, {}) == pytest.approx(r[np.argsort(-truth.var(0))[:50]].mean(), abs=1e-6)
    assert derived.pcc_heg50_test(m, {}) == pytest.approx(r[np.argsort(-truth.mean(0))[:50]].mean(), abs=1e-6)


def test_pooled_errors_weigh_every_entry_alike() -> None:
    truth, prediction = example(0, genes=2)
    prediction[:, 0] = truth[:, 0] + 3
    prediction[:, 1] = truth[:, 1]
    measured = np.ones(truth.shape, bool)
    measured[10:, 0] = False  # 10 of 60 entries are wrong
    m = gene_moments(truth, prediction, measured)

    assert derived.mse_pooled(m, {}) == pytest.approx(9 / 6)
    assert derived.mae_pooled(m, {}) == pytest.approx(3 / 6)
    assert derived.mse(m, {}) == pytest.approx(9 / 2)


def test_where_the_protocol_marks_no_markers_there_is_no_score() -> None:
    assert derived.pcc_markers(gene_moments(*example(0), np.ones((50, 9), bool)), {}) is None


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
