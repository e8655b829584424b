"""Metrics per gene against scipy and scikit-learn, gene by gene, on masked slides with odd genes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import roc_auc_score

from stbench.metrics import Scores, Undefined
from stbench.metrics.divergence import jsd
from stbench.metrics.ranks import spearman, zero_auc
from stbench.metrics.significance import neg_log10_p
from stbench.metrics.ssim import ssim

from .conftest import BOTH_CONSTANT, CONSTANT_PREDICTION, CONSTANT_TRUTH, GENES, NEVER, ONCE, Given


def slow_spearman(y: np.ndarray, p: np.ndarray) -> float:
    return spearmanr(y, p).statistic


def slow_zero_auc(y: np.ndarray, p: np.ndarray) -> float:
    return roc_auc_score(y > 0, p)


def slow_neg_log10_p(y: np.ndarray, p: np.ndarray) -> float:
    return -np.log10(pearsonr(y, p).pvalue)


def slow_jsd(y: np.ndarray, p: np.ndarray) -> float:
    p = np.maximum(p, 0)
    return jensenshannon(y / y.sum(), p / p.sum(), base=2) ** 2


def slow_ssim(y: np.ndarray, p: np.ndarray) -> float:
    c1, c2 = (0.01 * np.ptp(y)) ** 2, (0.03 * np.ptp(y)) ** 2
    covariance = np.cov(y, p, ddof=0)
    luminance = (2 * y.mean() * p.mean() + c1) / (y.mean() ** 2 + p.mean() ** 2 + c1)
    return luminance * (2 * covariance[0, 1] + c2) / (covariance[0, 0] + covariance[1, 1] + c2)


@pytest.mark.parametrize(
    ("metric", "slow", "least"),
    [
        (spearman, slow_spearman, 2),
        (zero_auc, slow_zero_auc, 2),
        (neg_log10_p, slow_neg_log10_p, 3),
        (jsd, slow_jsd, 2),
        (ssim, slow_ssim, 2),
    ],
)
def test_is_the_slow_one(metric: Callable[..., Scores], slow: Callable[..., float], least: int, given: Given) -> None:
    scores = metric(*given)

    defined = 0
    for g in range(GENES):
        y, p = given.gene(g)
        assert scores.n_obs[g] == len(y)
        if len(y) < least:
            assert scores.reasons[g] is Undefined.TOO_FEW
        elif g in (CONSTANT_TRUTH, BOTH_CONSTANT):
            assert scores.reasons[g] is Undefined.CONSTANT_TRUTH
        elif scores.reasons[g] is None:
            assert scores.values[g] == pytest.approx(slow(y, p), abs=1e-6, rel=1e-6)
            defined += 1
        else:
            assert (g, scores.reasons[g]) == (CONSTANT_PREDICTION, Undefined.CONSTANT_PREDICTION)
    assert defined >= GENES - 6
    assert scores.reasons[NEVER] is scores.reasons[ONCE] is Undefined.TOO_FEW


@pytest.mark.parametrize("metric", [spearman, neg_log10_p])
def test_a_constant_prediction_is_a_reason(metric: Callable[..., Scores], given: Given) -> None:
    assert metric(*given).reasons[CONSTANT_PREDICTION] is Undefined.CONSTANT_PREDICTION


@pytest.mark.parametrize("metric", [spearman, zero_auc, neg_log10_p, jsd, ssim])
@pytest.mark.parametrize("last_bit", [False, True])
def test_the_rounding_of_a_constant_is_no_signal(metric: Callable[..., Scores], last_bit: bool, given: Given) -> None:
    constant = np.full_like(given.prediction, 0.1)
    if last_bit:
        constant = np.where(given.truth > 0, np.nextafter(constant, np.float32(1)), constant)

    scores = metric(given.truth, constant, given.measured, given.slide)

    exact = metric(given.truth, np.full_like(constant, 0.125), given.measured, given.slide)
    assert scores.reasons == exact.reasons
    if metric in (zero_auc, jsd):
        np.testing.assert_allclose(scores.values, exact.values, atol=1e-6)


def test_a_constant_prediction_has_the_auc_of_chance(given: Given) -> None:
    scores = zero_auc(*given)

    assert (scores.values[CONSTANT_PREDICTION], scores.reasons[CONSTANT_PREDICTION]) == (0.5, None)


def test_nothing_predicted_is_the_uniform_distribution(given: Given) -> None:
    nothing, constant = (np.full_like(given.prediction, value) for value in (-1.0, 0.7))

    one, other = (jsd(given.truth, p, given.measured, given.slide) for p in (nothing, constant))

    np.testing.assert_allclose(one.values, other.values, atol=1e-12)
    assert all(value > 0 for value, reason in zip(one.values, one.reasons, strict=True) if reason is None)


@pytest.mark.parametrize("metric", [zero_auc, jsd])
def test_negative_truth_has_no_zero_and_no_shares(metric: Callable[..., Scores], given: Given) -> None:
    scores = metric(given.truth - 0.5, *list(given)[1:])

    assert scores.reasons[-1] is Undefined.NEGATIVE_TRUTH


def test_zero_everywhere_or_nowhere_is_constant() -> None:
    truth = np.array([[0, 1, 0], [0, 2, 1], [0, 3, 1]], np.float32)

    scores = zero_auc(truth, truth, np.ones(truth.shape, bool), None)

    assert scores.reasons == (Undefined.CONSTANT_TRUTH, Undefined.CONSTANT_TRUTH, None)
    assert scores.values[2] == 1.0


def exact_neg_log10_p(r: float, n: int) -> float:
    import mpmath

    with mpmath.workdps(50):
        x = 1 - mpmath.mpf(r) ** 2
        return float(-mpmath.log10(mpmath.betainc(mpmath.mpf(n) / 2 - 1, 0.5, 0, x, regularized=True)))


@pytest.mark.parametrize(("r", "n"), [(0.05, 40), (0.5, 700), (0.9, 2000), (0.25, 12_000), (0.75, 12_000)])
def test_p_below_the_smallest_float(r: float, n: int) -> None:
    y = np.random.default_rng(0).normal(size=n)
    noise = np.random.default_rng(1).normal(size=n)
    y -= y.mean()
    noise -= noise.mean() + y * (noise @ y) / (y @ y)
    p = r * y / np.linalg.norm(y) + np.sqrt(1 - r**2) * noise / np.linalg.norm(noise)
    truth, prediction = (v.astype(np.float32)[:, None] for v in (y, p))

    scores = neg_log10_p(truth, prediction, np.ones((n, 1), bool), None)

    found = pearsonr(truth[:, 0].astype(float), prediction[:, 0].astype(float)).statistic
    assert scores.values[0] == pytest.approx(exact_neg_log10_p(found, n), rel=1e-6)


def test_a_perfect_prediction_has_a_finite_p() -> None:
    truth = np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32)

    scores = neg_log10_p(truth, truth, np.ones(truth.shape, bool), None)

    assert 1000 < scores.values[0] < 1e5
    assert scores.reasons == (None,)
