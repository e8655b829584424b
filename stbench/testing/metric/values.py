"""Checks of metrics: what the values are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stbench.testing.check import Checks, DoesNotApply
from stbench.testing.metric.cases import Case, alike_constants, nearly_empty, ordinary
from stbench.testing.metric.cases import constants as constant_cases
from stbench.testing.metric.subject import MetricSubject, Scored

Values = NDArray[np.float64]

checks: Checks[MetricSubject] = Checks("metric")

VALUES = ("shape_and_range",)
COMPARABLE = ("shape_and_range", "repeatable")
SAME = 1e-6
"""Difference, relative to the larger value (at least 1), below which values are the same."""


@checks.add("the harness stores one row per value, and tables draw the range")
def shape_and_range(subject: MetricSubject) -> None:
    """One value per gene, per spot or for the slide, with its count and reason; finite and in its range."""
    for what, case in subject.cases.items():
        _require_valid(subject, subject.score(case, what), what)


def _require_valid(subject: MetricSubject, scored: Scored, what: str) -> None:
    low, high = subject.spec.value_range
    for value, reason in zip(scored.values, scored.reasons, strict=True):
        if reason is None:
            assert np.isfinite(value), f"for {what} a value is {value} without a reason; give one of Undefined"
            inside = (low is None or value >= low - SAME) and (high is None or value <= high + SAME)
            assert inside, f"for {what} a value is {value:.6g}, outside its range {(low, high)}"


@checks.add("stored values must be those that anyone computes again", needs=VALUES)
def repeatable(subject: MetricSubject) -> None:
    """The same slide has the same values the second time."""
    for what, case in subject.cases.items():
        first, second = (subject.score(case, what) for _ in range(2))
        assert np.array_equal(first.values, second.values, equal_nan=True), (
            f"for {what} the values differ (by {difference(first, second):.2g}) the second time; draw from a "
            "generator with a fixed seed, and keep nothing between calls"
        )


@checks.add("a metric that something beats the truth at ranks methods by something else", needs=COMPARABLE)
def perfect_is_optimal(subject: MetricSubject) -> None:
    """The truth itself scores at the bound of the range, and no other prediction scores better."""
    best = subject.spec.value_range[1 if subject.spec.direction == "max" else 0]
    for what, case in subject.cases.items():
        perfect = subject.score(case.predicted(case.truth), f"{what}, predicted perfectly,")
        assert np.isfinite(perfect.values).any(), f"for {what}, predicted perfectly, nothing is defined"
        if best is not None:
            off = float(np.nanmax(np.abs(perfect.values - best)))
            assert off <= SAME, (
                f"for {what}, predicted perfectly, a value is {off:.2g} away from the best of the range, {best:g}"
            )
        for rival, other in _rivals(case).items():
            scored = subject.score(other, f"{what} with {rival}")
            better = _better(subject, scored.values, perfect.values)
            assert not better.any(), (
                f"for {what}, {rival} scores {scored.values[better][0]:.6g}, better than the truth's "
                f"{perfect.values[better][0]:.6g}; is direction {subject.spec.direction} right?"
            )


def _rivals(case: Case) -> dict[str, Case]:
    shuffled = np.random.default_rng(2).permutation(case.truth.ravel()).reshape(case.shape)
    return {
        "a random prediction": case.predicted(shuffled),
        "the truth of the spot before": case.predicted(np.roll(case.truth, 1, axis=0)),
        "the truth plus 1": case.predicted(case.truth + 1),
        "twice the truth": case.predicted(2 * case.truth),
    }


def _better(subject: MetricSubject, one: Values, other: Values) -> NDArray[np.bool_]:
    sign = 1 if subject.spec.direction == "max" else -1
    with np.errstate(invalid="ignore"):  # NaN, where undefined, is not better
        return np.asarray(sign * (one - other) > SAME * np.maximum(1, np.abs(other)))


@checks.add("genes that never vary and models that predict one value are in every table", needs=("perfect_is_optimal",))
def constants(subject: MetricSubject) -> None:
    """Constant truth or prediction has a finite value or a reason; constant predictions are not better than perfect."""
    case = ordinary(subject.slide)
    perfect = subject.score(case.predicted(case.truth), "a perfect prediction").mean
    for what, other in constant_cases(case).items():
        scored = subject.score(other, what)
        _require_valid(subject, scored, what)
        if other.truth is case.truth and scored.mean is not None and perfect is not None:
            better = _better(subject, np.array([scored.mean]), np.array([perfect]))
            assert not better.any(), f"{what} scores {scored.mean:.6g}, better than a perfect one's {perfect:.6g}"
    for what, exact, inexact in alike_constants(case):
        reasons = [subject.score(one, f"a constant {what}").reasons for one in (exact, inexact)]
        assert reasons[0] == reasons[1], (
            f"a constant {what} of 0.25 is given other reasons than one of 0.1, which is rounded: noise is taken for "
            "signal; take as constant what varies less than float32 resolves, as stbench.stats.gene_moments does"
        )


@checks.add("small sections and genes of other panels leave nothing to compute from", needs=VALUES)
def little_measured(subject: MetricSubject) -> None:
    """One spot, one gene, nothing measured, no region labels, no grid: a finite value, or a reason."""
    for what, case in nearly_empty(subject.slide).items():
        _require_valid(subject, subject.score(case, what), what)


@checks.add("a fast implementation is right where a slow and obvious one says the same", needs=COMPARABLE)
def agrees_with_reference(subject: MetricSubject) -> None:
    """The reference gives the same values, and none where the metric gives a reason."""
    if subject.reference is None:
        raise DoesNotApply("no reference was given; pass reference=…, a slow definition")
    case = ordinary(subject.slide)
    for what, one in {"an ordinary slide": case, "a smaller slide": ordinary(subject.slide, 12, 30)}.items():
        scored, said = subject.score(one, what), subject.refer(one)
        assert scored.values.shape == said.shape, (
            f"for {what} the reference gives {said.size} values, the metric {scored.values.size}"
        )
        off = difference(scored, replace(scored, values=said))
        assert off <= SAME, f"for {what} the values differ from the reference's (by {off:.2g})"


def difference(first: Scored, second: Scored) -> float:
    """Largest difference, relative to the larger value (at least 1); infinite where only one is defined."""
    a, b = first.values, second.values
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    scale = np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
    return float(np.nanmax(np.abs(a - b) / scale, initial=0.0))
