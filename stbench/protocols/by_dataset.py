"""Steps whose settings a paper states per dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stbench.protocols.steps import FitOn, State, Step, Unfitted
from stbench.slides import Slide


@dataclass(frozen=True)
class AsLoaded(Unfitted):
    """Changes nothing: for the data sets of which a paper says nothing."""

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide."""
        return slide


@dataclass(frozen=True)
class ByDataset:
    """The step named for a slide's dataset, else another.

    Parameters
    ----------
    named
        (dataset, step) pairs.
    otherwise
        For all other datasets; it says for all of them what the fit sees.
    """

    named: tuple[tuple[str, Step], ...]
    otherwise: Step

    @property
    def fit_on(self) -> FitOn:
        """Which slides `fit` is given."""
        return self.otherwise.fit_on

    def fit(self, slides: Sequence[Slide]) -> State:
        """Fit the step of these slides' dataset."""
        return self._step(slides[0]).fit(slides) if slides else {}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide after its dataset's step."""
        return self._step(slide).transform(slide, state)

    def _step(self, slide: Slide) -> Step:
        return dict(self.named).get(slide.info.dataset, self.otherwise)
