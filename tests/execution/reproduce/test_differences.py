from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stbench.execution.reproduce.differences import Difference, difference, moments_difference, union
from stbench.execution.reproduce.result import judge, worst
from stbench.stats import gene_moments


def moments(truth: np.ndarray, prediction: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(vars(gene_moments(truth, prediction, np.ones(truth.shape, bool))))


def test_equal_bits_are_no_difference_whatever_they_say() -> None:
    values = np.array([0.1, np.nan, -np.inf, 3.0], np.float32)

    assert difference(values, values.copy()) == Difference(n=4)


def test_the_largest_difference_is_relative_to_the_spread_of_then() -> None:
    then, now = np.array([0.0, 2.0, 4.0]), np.array([0.0, 2.5, 4.1])

    found = difference(then, now)

    assert (found.n, found.n_different, found.largest) == (3, 2, 0.5)
    assert found.relative == pytest.approx(0.5 / np.std(then))


def test_a_value_that_came_or_went_is_infinitely_far() -> None:
    assert difference(np.array([1.0, 2.0]), np.array([1.0, np.nan])).relative == np.inf
    assert difference(np.array([np.nan, 2.0]), np.array([1.0, 2.0])).relative == np.inf


def test_a_constant_that_moved_is_infinitely_far_and_one_that_did_not_is_equal() -> None:
    constant = np.full(3, 2.0, np.float32)

    assert difference(constant, constant + 1).relative == np.inf
    assert difference(constant, constant.copy()).relative == 0


def test_a_changed_sign_of_zero_is_other_bits_and_no_distance() -> None:
    found = difference(np.array([0.0, 1.0]), np.array([-0.0, 1.0]))

    assert (found.n_different, found.largest) == (1, 0)
    assert judge(found, 0.0) == "within tolerance"


def test_nothing_compared_is_nothing_different() -> None:
    assert difference(np.empty(0), np.empty(0)) == Difference() == union([])


def test_together_counts_are_added_and_the_largest_stays() -> None:
    parts = Difference(3, 1, 0.5, 0.1), Difference(4, 2, 0.2, 0.3)

    assert union(parts) == Difference(7, 3, 0.5, 0.3)


@given(st.integers(0, 10_000), st.floats(1e-4, 0.3))
def test_what_is_told_from_moments_is_never_larger_than_the_difference_of_the_predictions(
    seed: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    truth, prediction = rng.normal(size=(2, 12, 3)).astype(np.float32)
    again = (prediction + rng.uniform(-noise, noise, prediction.shape)).astype(np.float32)

    found = moments_difference(moments(truth, prediction), moments(truth, again))

    assert 0 < found.largest <= np.abs(again.astype(float) - prediction).max() * (1 + 1e-6)
    assert found.relative == pytest.approx(found.largest / np.std(prediction.astype(float)), rel=1e-5)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["bit-equal", "bit-equal"], "bit-equal"),
        (["bit-equal", "within tolerance"], "within tolerance"),
        (["within tolerance", "different", "bit-equal"], "different"),
        (["bit-equal", "not compared"], "bit-equal"),
    ],
)
def test_the_verdict_is_that_of_the_worst_stage(outcomes: list[str], verdict: str) -> None:
    assert worst(outcomes) == verdict  # type: ignore[arg-type]
