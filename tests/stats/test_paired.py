"""Paired comparisons: they are SciPy's, they hold their level, and they say what the data cannot resolve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stbench.stats import holm, paired, smallest_resolvable


@pytest.mark.parametrize("n", [2, 3, 6, 23])
def test_the_tests_are_scipys(n: int) -> None:
    rng = np.random.default_rng(n)
    first, second = rng.normal(0.3, 0.1, n), rng.normal(0.25, 0.1, n)

    found = paired(first, second)

    assert found.p_t == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert found.difference.mean == pytest.approx((first - second).mean())
    assert found.effect_size == pytest.approx((first - second).mean() / (first - second).std(ddof=1))
    if n < 6:
        assert found.p_wilcoxon is None
    else:
        assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue)


def test_three_patients_do_not_resolve_a_hundredth() -> None:
    differences = np.array([-0.01, 0.01, 0.03])  # mean 0.01, standard deviation 0.02

    found = paired(0.2 + differences, np.full(3, 0.2))

    assert (found.difference.mean, found.sd) == (pytest.approx(0.01), pytest.approx(0.02))
    assert found.verdict == "not resolved"
    assert found.resolvable == pytest.approx(0.0653, abs=1e-4)


def test_a_clear_difference_is_one() -> None:
    found = paired([0.30, 0.31, 0.32], [0.10, 0.12, 0.11])

    assert found.verdict == "different"
    assert found.p_t is not None
    assert found.p_t < 0.01


def test_one_unit_tells_nothing() -> None:
    found = paired([0.9], [0.1])

    assert (found.verdict, found.p_t, found.sd, found.resolvable) == ("too few units", None, None, None)


def test_differences_that_do_not_vary() -> None:
    assert paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).p_t == 1.0
    assert paired([1.5, 2.5, 3.5], [1.0, 2.0, 3.0]).p_t == 0.0


@pytest.mark.parametrize("n", [3, 5, 12])
def test_intervals_of_paired_differences_cover_what_they_claim(n: int) -> None:
    rng = np.random.default_rng(n)
    patients = rng.normal(0, 0.2, (6000, n))  # harder and easier patients, for both models alike
    first = patients + 0.03 + rng.normal(0, 0.05, (6000, n))
    second = patients + rng.normal(0, 0.02, (6000, n))

    tested = [paired(a, b).difference for a, b in zip(first, second, strict=True)]

    covered = np.mean([t.low <= 0.03 <= t.high for t in tested])  # type: ignore[operator]
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("n", [3, 4, 8, 23])
def test_what_is_said_to_be_resolvable_is_found_in_four_of_five_studies(n: int) -> None:
    difference = smallest_resolvable(0.02, n)
    studies = np.random.default_rng(n).normal(difference, 0.02, (20_000, n))

    found = (stats.ttest_1samp(studies, 0, axis=1).pvalue < 0.05).mean()

    assert found == pytest.approx(0.8, abs=0.01)


def reference_holm(p: list[float]) -> list[float]:
    """By the book, one hypothesis after the other."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, highest = [0.0] * len(p), 0.0
    for step, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p) - step) * p[i]))
        adjusted[i] = highest
    return adjusted


@given(st.lists(st.floats(0, 1), min_size=0, max_size=12))
def test_holm_is_the_textbooks(p: list[float]) -> None:
    np.testing.assert_allclose(holm(p), reference_holm(p))


def test_holm_leaves_out_what_is_not_defined() -> None:
    np.testing.assert_array_equal(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])


def test_holm_holds_the_family_wise_error() -> None:
    rng = np.random.default_rng(0)
    p = stats.ttest_1samp(rng.normal(size=(3000, 5, 6)), 0, axis=2).pvalue

    wrong = np.mean([(holm(family) < 0.05).any() for family in p])

    assert wrong <= 0.06
