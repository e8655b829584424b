"""Ranks, tie bands and disagreement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stbench.stats import disagreement, mean_ranks, standings
from stbench.stats.ranks import competition_ranks


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=10))
def test_ranks_are_scipys(values: list[float]) -> None:
    assert competition_ranks(values) == list(stats.rankdata([-v for v in values], method="min"))
    assert competition_ranks(values, higher_is_better=False) == list(stats.rankdata(values, method="min"))


def test_the_band_holds_who_cannot_be_told_from_the_best() -> None:
    best = np.array([0.30, 0.42, 0.35, 0.51])

    worst, close = best - 0.3 + np.array([0, 0.01, 0, -0.01]), best + np.array([0.1, -0.1, -0.09, 0])

    found = standings({"worst": worst, "best": best, "close": close})

    assert {name: s.rank for name, s in found.items()} == {"best": 1, "close": 2, "worst": 3}
    assert {name for name, s in found.items() if s.tied_with_best} == {"best", "close"}
    assert found["best"].against_best is None
    assert found["worst"].p_holm == pytest.approx(2 * stats.ttest_rel(worst, best).pvalue)


def test_of_errors_the_smallest_is_best() -> None:
    found = standings({"a": [1.0, 2.0], "b": [3.0, 4.0]}, higher_is_better=False)

    assert (found["a"].rank, found["b"].rank) == (1, 2)


def test_one_unit_ties_everybody() -> None:
    found = standings({"a": [1.0], "b": [0.2]})

    assert [(s.rank, s.tied_with_best, s.p_holm) for s in found.values()] == [(1, True, None), (2, True, None)]


def test_each_task_counts_once() -> None:
    assert mean_ranks({"a": [1, 1, 4], "b": [2, 2, 1]}) == {"a": 2.0, "b": pytest.approx(5 / 3)}


def test_disagreement_names_the_pairs_that_swap() -> None:
    found = disagreement({"a": 3, "b": 2, "c": 1}, {"a": 3, "b": 1, "c": 2})

    assert found.swapped == (("b", "c"),)
    assert found.tau == pytest.approx(1 / 3)
    assert not found.same


def test_equal_orders_agree_and_ties_are_no_swap() -> None:
    assert disagreement({"a": 1, "b": 2}, {"a": 10, "b": 20}).same
    tied = disagreement({"a": 1, "b": 2}, {"a": 1, "b": 1})
    assert (tied.swapped, tied.tau, tied.same) == ((), None, False)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9))
def test_tau_is_scipys(pairs: list[tuple[int, int]]) -> None:
    first, second = ({str(i): float(pair[k]) for i, pair in enumerate(pairs)} for k in (0, 1))

    expected = stats.kendalltau(list(first.values()), list(second.values())).statistic

    found = disagreement(first, second).tau
    assert found == (None if np.isnan(expected) else pytest.approx(expected))
