"""Moran's I of prediction and truth, against sums over pairs of neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr

from stbench.metrics import Undefined
from stbench.metrics.autocorrelation import moran_error, moran_pcc

from .conftest import BOTH_CONSTANT, CONSTANT_PREDICTION, CONSTANT_TRUTH, GENES, NEVER, ONCE, Given, odd_slide


def slow_moran(given: Given, values: np.ndarray, gene: int) -> float:
    """Spot by spot: its deviation times the mean of its measured neighbours'."""
    kept = given.measured[:, gene]
    z = values[:, gene].astype(float) - values[kept, gene].astype(float).mean()
    source, target = given.slide.neighbours("grid")
    products = []
    for spot in np.flatnonzero(kept):
        near = [n for n in target[source == spot] if kept[n]]
        if near:
            products.append(z[spot] * z[near].mean())
    return kept.sum() / len(products) * sum(products) / (z[kept] ** 2).sum()


def test_are_the_slow_ones(given: Given) -> None:
    error, agreement = moran_error(*given), moran_pcc(*given)

    defined = [g for g in range(GENES) if error.reasons[g] is None]
    assert len(defined) >= GENES - 5
    true = np.array([slow_moran(given, given.truth, g) for g in defined])
    predicted = [0 if g == CONSTANT_PREDICTION else slow_moran(given, given.prediction, g) for g in defined]
    np.testing.assert_allclose(error.values[defined], np.abs(predicted - true), atol=1e-6)
    assert agreement.values[0] == pytest.approx(pearsonr(true, predicted).statistic, abs=1e-6)
    assert (agreement.n_obs[0], agreement.reasons) == (len(defined), (None,))


def test_reasons() -> None:
    scores = moran_error(*odd_slide(0))

    assert scores.reasons[CONSTANT_TRUTH] is scores.reasons[BOTH_CONSTANT] is Undefined.CONSTANT_TRUTH
    assert scores.reasons[NEVER] is scores.reasons[ONCE] is Undefined.TOO_FEW
    assert scores.reasons[CONSTANT_PREDICTION] is None  # no structure: I = 0


def test_a_constant_prediction_agrees_with_nothing() -> None:
    given = odd_slide(0)

    scores = moran_pcc(given.truth, np.full_like(given.prediction, 0.1), given.measured, given.slide)

    assert scores.reasons == (Undefined.CONSTANT_PREDICTION,)


def test_too_smooth_is_an_error() -> None:
    given = odd_slide(0, holes=0.0)
    source, target = given.slide.neighbours("grid")
    smooth = np.zeros_like(given.truth)
    np.add.at(smooth, target, given.truth[source])
    smooth /= np.maximum(np.bincount(target, minlength=len(smooth)), 1)[:, None]

    scores = moran_error(given.truth, smooth, given.measured, given.slide)

    assert np.mean([v for v, reason in zip(scores.values, scores.reasons, strict=True) if reason is None]) > 0.3
