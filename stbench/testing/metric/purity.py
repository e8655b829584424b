"""Checks of metrics: they compute, and do nothing else."""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from stbench.testing.content import changed, content
from stbench.testing.metric.subject import MetricSubject
from stbench.testing.metric.values import checks
from stbench.testing.watch import Seen


@checks.add("all metrics of a run are given the same arrays, and what is stored are these")
def inputs_untouched(subject: MetricSubject) -> None:
    """Truth, prediction, mask and slide are as they were."""
    for what, case in subject.cases.items():
        given = case.copied()
        before = content(given.slide)
        with suppress(Exception):  # that it fails is another check's to say
            subject.call(given)
        modified = [
            name
            for name in ("truth", "prediction", "measured")
            if not np.array_equal(getattr(given, name), getattr(case, name))
        ]
        modified += [f"{name} of the slide" for name in changed(before, content(given.slide))]
        assert not modified, f"for {what} it modified {', '.join(modified)}; work on a copy"


@checks.add("numbers must not depend on what else ran in the process, nor on where it runs")
def global_state(subject: MetricSubject) -> None:
    """Generators, flags, environment, files and the network are left alone."""
    again = Seen()
    for seen in (subject.seen, again):
        with suppress(Exception):
            subject.call(next(iter(subject.cases.values())).copied(), seen)
    seen = subject.seen
    state = [*seen.settings, *again.generators]  # imports draw random numbers too: a later call is looked at
    assert not state, f"left changed: {', '.join(dict.fromkeys(state))}; restore what you set, draw from your own"
    assert not seen.network, f"asked the network for {', '.join(seen.network)}; compute from what is given"
    assert not seen.writes, f"wrote {', '.join(seen.writes)}; a metric returns its values"
