"""Correlation per spot across genes, and how undefined values enter a mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from stbench.metrics import Scores, Undefined
from stbench.metrics.spots import pcc_spot, r2_spot
from stbench.slides import Slide
from stbench.testing import toy_slides


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    return toy_slides(tmp_path, patients=1, spots=30, genes=12)[0]


def noisy(slide: Slide) -> np.ndarray:
    return (slide.target + np.random.default_rng(0).normal(0, 1, slide.target.shape)).astype(np.float32)


def test_is_scipys_for_each_spot(slide: Slide) -> None:
    prediction = noisy(slide)
    measured = np.random.default_rng(1).random(prediction.shape) > 0.2

    scores = pcc_spot(slide.target, prediction, measured, slide.without_expression())

    for spot in range(30):
        kept = measured[spot]
        expected = pearsonr(slide.target[spot, kept].astype(float), prediction[spot, kept].astype(float))[0]
        assert scores.values[spot] == pytest.approx(expected)
        assert scores.n_obs[spot] == kept.sum()
    assert scores.reasons == (None,) * 30


def test_each_reason(slide: Slide) -> None:
    truth, prediction, measured = slide.target.copy(), noisy(slide), slide.measured.copy()
    truth[0] = 2.0
    prediction[1] = 0.1
    measured[2, 1:] = False
    measured[3] = False

    scores = pcc_spot(truth, prediction, measured, slide)

    assert scores.reasons[:5] == (
        Undefined.CONSTANT_TRUTH,
        Undefined.CONSTANT_PREDICTION,
        Undefined.TOO_FEW,
        Undefined.TOO_FEW,
        None,
    )
    assert np.isfinite(scores.values).all()


def test_r2_is_scikit_learns_for_each_spot(slide: Slide) -> None:
    truth, prediction, measured = slide.target.copy(), noisy(slide), slide.measured.copy()
    truth[0], prediction[1], measured[2, 1:] = 2.0, 0.1, False

    scores = r2_spot(truth, prediction, measured, slide)

    assert scores.reasons[:4] == (Undefined.CONSTANT_TRUTH, None, Undefined.TOO_FEW, None)
    for spot in (1, *range(3, 30)):
        assert scores.values[spot] == pytest.approx(r2_score(truth[spot], prediction[spot]), abs=1e-6)


def scores(*entries: float | Undefined) -> Scores:
    reasons = tuple(e if isinstance(e, Undefined) else None for e in entries)
    values = np.array([np.nan if isinstance(e, Undefined) else e for e in entries], float)
    return Scores(values, np.full(len(entries), 5), reasons)


def test_the_mean_counts_a_constant_prediction_as_zero_and_leaves_out_the_rest() -> None:
    found = scores(0.9, Undefined.CONSTANT_PREDICTION, Undefined.CONSTANT_TRUTH, 0.3, Undefined.TOO_FEW).mean()

    assert found == (pytest.approx(0.4), 3, None)


def test_a_mean_of_nothing_has_the_reason() -> None:
    assert scores(Undefined.CONSTANT_TRUTH, Undefined.CONSTANT_TRUTH).mean() == (None, 0, Undefined.CONSTANT_TRUTH)
    assert scores().mean() == (None, 0, Undefined.TOO_FEW)


def test_reasons_are_the_words_that_are_stored() -> None:
    assert [str(reason) for reason in Undefined] == [
        "constant_truth",
        "constant_prediction",
        "too_few",
        "not_streamable",
        "negative_truth",
        "no_labels",
        "no_grid",
    ]
