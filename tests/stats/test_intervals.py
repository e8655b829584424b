"""Student-t intervals over units."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stbench.stats import t_interval


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_is_scipys(confidence: float) -> None:
    values = [0.31, 0.28, 0.4, 0.12, 0.33]

    found = t_interval(values, confidence)

    low, high = stats.t.interval(confidence, 4, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert found.n_units == 5


def test_one_unit_has_no_interval() -> None:
    assert (t_interval([0.4]).mean, t_interval([0.4]).low, t_interval([0.4]).high) == (0.4, None, None)


def test_it_covers_what_it_claims() -> None:
    rng = np.random.default_rng(0)
    truth = 0.3

    covered = [
        interval.low <= truth <= interval.high
        for interval in (t_interval(units) for units in rng.normal(truth, 0.1, (4000, 6)))
    ]

    assert np.mean(covered) == pytest.approx(0.95, abs=0.012)
