"""A metric under check: scored as the harness scores, on copies, watched."""

from __future__ import annotations

import inspect
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.metrics import Scores, Undefined, scores_of
from stbench.registry import MetricSpec
from stbench.slides import Slide
from stbench.stats import gene_moments
from stbench.testing.metric.cases import SPOTS, Case, ordinary, regions, with_holes
from stbench.testing.slides import toy_slides
from stbench.testing.watch import Seen, watching

Reference = Callable[..., Any]
"""``(truth, prediction)`` or the metric's own arguments (of a derived metric: truth, prediction, measured, marks) →
values."""

_SHARED: dict[tuple[str, str, int], Mapping[str, Scores]] = {}
"""Answers by factory, case and how often it was asked: a clustering of all cases takes seconds."""


@dataclass(frozen=True)
class Scored:
    """Values of a metric, (values,), NaN where `reasons` gives one, and what each was computed from."""

    values: NDArray[np.float64]
    n_obs: NDArray[np.int64]
    reasons: tuple[Undefined | None, ...]
    mean: float | None


class MetricSubject:
    """A metric's spec, and small slides to score.

    Parameters
    ----------
    reference
        A slow and obvious definition to compare with.

    Attributes
    ----------
    seen
        What the metric did outside of its business, in all calls.
    """

    def __init__(self, spec: MetricSpec, reference: Reference | None = None) -> None:
        self.spec = spec
        self.reference = reference
        self.seen = Seen()
        self._asked: Counter[str] = Counter()
        self._scratch = tempfile.TemporaryDirectory(prefix="stbench-check-")

    @cached_property
    def function(self) -> Callable[..., Any]:
        """What the spec's factory names."""
        found: Callable[..., Any] = self.spec.load()
        return found

    @property
    def level(self) -> str:
        """What one value describes; a derived metric gives one number for the slide."""
        return "slide" if self.spec.derived else self.spec.level

    @property
    def cache(self) -> Path:
        """Where the slide's image leaves its patches."""
        return Path(self._scratch.name) / "cache"

    @cached_property
    def slide(self) -> Slide:
        """A slide as metrics see it: with an image and regions, without expression."""
        (slide,) = toy_slides(Path(self._scratch.name), patients=1, spots=SPOTS, genes=2)
        slide.adata.obs["region"] = regions(SPOTS)
        return slide.without_expression(labels=True)

    @cached_property
    def cases(self) -> dict[str, Case]:
        """Ordinary slides of several shapes."""
        return {
            "a slide of 40 spots and 12 genes": ordinary(self.slide),
            "a slide of 12 spots and 30 genes": ordinary(self.slide, spots=12, genes=30),
            "a slide with entries that were not measured": with_holes(ordinary(self.slide)),
        }

    def score(self, case: Case, what: str) -> Scored:
        """Score a copy of a case; raises AssertionError if what comes back is no score."""
        return self._understood(self._answer(case), case, what)

    def _answer(self, case: Case) -> Any:
        """What the metric returns for a case; the answers of a function that metrics share serve each of them."""
        digest = case.digest
        nth = self._asked[digest] = self._asked[digest] + 1  # the second answer is computed anew, for all of them
        key = self.spec.factory, digest, nth
        if key not in _SHARED:
            found = self.call(case.copied())
            if not isinstance(found, Mapping):
                return found
            _SHARED[key] = found
        return _SHARED[key]

    def call(self, case: Case, seen: Seen | None = None) -> Any:
        """What the metric returns for exactly this case."""
        function = self.function  # imported before anything is watched
        with watching(seen or self.seen, [self.cache]):
            if self.spec.derived:
                return function(gene_moments(case.truth, case.prediction, case.measured), case.marks)
            return function(case.truth, case.prediction, case.measured, case.slide)

    def refer(self, case: Case) -> NDArray[np.float64]:
        """What the reference says of a case, NaN where it gives no value."""
        assert self.reference is not None
        arguments = (case.truth, case.prediction, case.measured, case.marks if self.spec.derived else case.slide)
        simple = len(inspect.signature(self.reference).parameters) == 2
        found = self.reference(*arguments[: 2 if simple else 4])
        if isinstance(found, Scores):
            return _defined(found)
        return np.atleast_1d(np.asarray(np.nan if found is None else found, np.float64))

    def _understood(self, found: Any, case: Case, what: str) -> Scored:
        if self.spec.derived:
            return _number(found, what)
        if isinstance(found, Mapping):
            found = scores_of(self.spec.name, found)
        assert isinstance(found, Scores), f"for {what} it returns {type(found).__name__}; return stbench.metrics.Scores"
        n = {"gene": case.shape[1], "spot": case.shape[0], "slide": 1}[self.level]
        values, n_obs = np.asarray(found.values), np.asarray(found.n_obs)
        got = (values.shape, n_obs.shape, (len(found.reasons),))
        assert got == ((n,),) * 3, (
            f"for {what} values, n_obs and reasons have shapes {', '.join(map(str, got))}; "
            f"level {self.level} needs ({n},) of each"
        )
        counts = np.issubdtype(n_obs.dtype, np.integer) and bool((n_obs >= 0).all())
        assert counts, f"for {what} n_obs are not counts: whole numbers from 0"
        strange = [r for r in found.reasons if r is not None and not isinstance(r, Undefined)]
        assert not strange, f"for {what} a reason is {strange[0]!r}; give one of stbench.metrics.Undefined"
        return Scored(_defined(found), n_obs, found.reasons, found.mean()[0])


def _defined(scores: Scores) -> NDArray[np.float64]:
    missing = [reason is not None for reason in scores.reasons]
    return np.where(missing, np.nan, np.asarray(scores.values, np.float64))


def _number(found: Any, what: str) -> Scored:
    assert found is None or (isinstance(found, float | int) and not isinstance(found, bool)), (
        f"for {what} it returns {type(found).__name__}; a derived metric returns a float, or None if nothing is defined"
    )
    reason = Undefined.TOO_FEW if found is None else None
    value = np.nan if found is None else float(found)
    return Scored(np.array([value]), np.zeros(1, np.int64), (reason,), None if found is None else value)
