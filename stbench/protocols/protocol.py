"""A protocol: folds from metadata, steps fitted on training parts, and the overlaps it admits to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stbench.errors import NotApplicable
from stbench.protocols.folds import Fold
from stbench.protocols.steps import State, Step
from stbench.slides import Slide, SlideInfo


@dataclass(frozen=True)
class Protocol:
    """Everything that turns a dataset into a prediction task.

    Attributes
    ----------
    spot_steps
        Filters that need no fit; blocks are cut over the spots they leave.
    target_steps
        Steps that make the target, each fitted on the training parts only.
    split
        Folds from the metadata of the slides that have an image.
    headline
        The metric the leaderboard shows first.
    declares
        What the protocol has by design. Overlaps of train and test: ``same_patient``, ``same_image``, ``same_slide``;
        others fail. ``untested``: some spots are in no test part.
    alternative
        The protocol that an error proposes when this one does not apply.
    """

    name: str
    version: str
    spot_steps: tuple[Step, ...]
    target_steps: tuple[Step, ...]
    split: Callable[[Sequence[SlideInfo]], list[Fold]]
    headline: str = "pcc"
    declares: frozenset[str] = frozenset()
    alternative: Protocol | None = None

    def folds(self, slides: Sequence[SlideInfo]) -> list[Fold]:
        """Folds over the slides that have an image.

        Raises
        ------
        NotApplicable
            With the reason, and the protocol that fits.
        """
        usable = [s for s in slides if s.has_image]
        if not usable:
            raise NotApplicable(f"{self.name}: none of {len(slides)} slides has an image")
        try:
            return self.split(usable)
        except NotApplicable as error:
            fitting = self._fitting_alternative(usable)
            instead = f"; use -p {fitting}" if fitting else ""
            patients = len({s.patient for s in usable})
            have = f"patients: {patients}, slides with an image: {len(usable)}"
            raise NotApplicable(f"{self.name} does not apply: {error} ({have}){instead}") from error

    def complete_folds(self, slides: Sequence[SlideInfo]) -> list[Fold]:
        """The folds there would be if every slide had its image: what indexes and coverage refer to."""
        return self.folds([replace(s, has_image=True) for s in slides])

    def _fitting_alternative(self, usable: Sequence[SlideInfo]) -> str:
        other = self.alternative
        while other is not None:
            try:
                other.split(usable)
                return other.name
            except NotApplicable:
                other = other.alternative
        return ""

    def filter(self, slide: Slide) -> Slide:
        """Apply the spot filters."""
        for step in self.spot_steps:
            slide = step.transform(slide, {})
        return slide

    def fit(self, train: Sequence[Slide], everything: Callable[[], Sequence[Slide]] = tuple) -> FittedProtocol:
        """Fit the target steps, one after the other, on filtered training parts.

        Parameters
        ----------
        everything
            Gives all slides of the dataset, those without an image too, to a step that declares ``fit_on="all"``;
            such a step comes first.
        """
        states: list[State] = []
        slides = list(train)
        for step in self.target_steps:
            state = step.fit(everything() if step.fit_on == "all" else slides)
            states.append(state)
            slides = [step.transform(slide, state) for slide in slides]
        return FittedProtocol(self, tuple(states))


@dataclass(frozen=True)
class FittedProtocol:
    """A protocol and what its target steps learnt, as plain JSON."""

    protocol: Protocol
    states: tuple[State, ...]

    def transform(self, slide: Slide) -> Slide:
        """Return a filtered slide with the target in ``X`` and ``layers["measured"]``."""
        for step, state in zip(self.protocol.target_steps, self.states, strict=True):
            slide = step.transform(slide, state)
        return slide
