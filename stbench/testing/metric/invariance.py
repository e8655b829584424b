"""Checks of metrics: what the values do not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stbench.testing.metric.cases import ordinary, with_holes
from stbench.testing.metric.subject import MetricSubject
from stbench.testing.metric.values import COMPARABLE, SAME, checks, difference

HUGE = np.float32(1e6)


@checks.add("a block, a cache or another reader gives a slide's spots in another order", needs=COMPARABLE)
def order_of_spots(subject: MetricSubject) -> None:
    """Spots in another order have their own values; values of genes and of the slide stay."""
    for what, case in subject.cases.items():
        order = np.random.default_rng(3).permutation(case.shape[0])
        expected = subject.score(case, what)
        if subject.level == "spot":
            expected = replace(expected, values=expected.values[order])
        moved = difference(expected, subject.score(case.with_spots(order), f"{what}, its spots in another order,"))
        assert moved <= SAME, f"for {what} the values depend on the order of the spots (by {moved:.2g})"


@checks.add("the order of a panel is the protocol's, and has no meaning", needs=COMPARABLE)
def order_of_genes(subject: MetricSubject) -> None:
    """Genes in another order have their own values; values of spots and of the slide stay."""
    for what, case in subject.cases.items():
        order = np.random.default_rng(4).permutation(case.shape[1])
        expected = subject.score(case, what)
        if subject.level == "gene":
            expected = replace(expected, values=expected.values[order])
        moved = difference(expected, subject.score(case.with_genes(order), f"{what}, its genes in another order,"))
        assert moved <= SAME, f"for {what} the values depend on the order of the genes (by {moved:.2g})"


@checks.add("imputed values would be scored as if they were measured", needs=COMPARABLE)
def measured_respected(subject: MetricSubject) -> None:
    """What stands where nothing was measured changes nothing, and is not counted."""
    case = with_holes(ordinary(subject.slide))
    first = subject.score(case, "a slide with entries that were not measured")
    noise = np.random.default_rng(5).uniform(-HUGE, HUGE, (2, *case.shape)).astype(np.float32)
    truth = np.where(case.measured, case.truth, noise[0])
    prediction = np.where(case.measured, case.prediction, noise[1])
    second = subject.score(replace(case, truth=truth, prediction=prediction), "the same with other values there")
    moved = difference(first, second)
    assert moved <= SAME, (
        f"the values change (by {moved:.2g}) with entries that were not measured; leave out where `measured` is False"
    )
    there = {"gene": case.measured.sum(0), "spot": case.measured.sum(1)}.get(subject.level, case.measured.sum())
    assert (first.n_obs <= there).all(), "n_obs counts entries that were not measured"
