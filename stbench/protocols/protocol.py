"""A protocol: folds from metadata, steps fitted on training parts, and the overlaps it admits to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stbench.errors import NotApplicable
from stbench.protocols.folds import Fold
from stbench.protocols.steps import State, Step
from stbench.slides import Slide, SlideInfo

LAST = "~"
"""A name that sorts behind others: what a data set that only tests is called as one patient."""


@dataclass(frozen=True)
class Need:
    """A file that a protocol needs of a dataset beside its slides.

    Attributes
    ----------
    files
        Names in the dataset's ``files()``, of which one is enough.
    remedy
        What to do where there is none.
    """

    dataset: str
    files: tuple[str, ...]
    remedy: str


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
        others fail. ``untested``: some spots are in no test part. ``validation_is_test``: epochs and parameters are
        chosen on spots that are scored.
    alternative
        The protocol that an error proposes when this one does not apply.
    needs
        Files without which it does not apply to a dataset: that is said before anything runs.
    """

    name: str
    version: str
    spot_steps: tuple[Step, ...]
    target_steps: tuple[Step, ...]
    split: Callable[[Sequence[SlideInfo]], list[Fold]]
    headline: str = "pcc"
    declares: frozenset[str] = frozenset()
    alternative: Protocol | None = None
    needs: tuple[Need, ...] = ()

    def require(self, dataset: str, folder: Path | None, files: Callable[[], Iterable[str]]) -> None:
        """Make sure that a dataset has what the protocol needs beside slides.

        Parameters
        ----------
        folder
            Where the dataset is, for the message.
        files
            Gives the names of its files; called only if some are needed.

        Raises
        ------
        NotApplicable
            With what is missing and what to do.
        """
        for need in self.needs:
            if need.dataset == dataset and not set(need.files) & set(files()):
                without = f"{dataset} in {folder} comes without {' or '.join(need.files)}"
                raise NotApplicable(f"{self.name} does not apply: {without}; {need.remedy}")

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

    def transfer_fold(self, train: Sequence[SlideInfo], test: Sequence[SlideInfo]) -> Fold:
        """The one fold that trains on slides of a data set and tests on all of another.

        It is the protocol's own fold that leaves out one unit, as if the other data set were one patient with one
        section: validation follows the protocol's rule.

        Raises
        ------
        NotApplicable
            There is no image, or the protocol has a split of its own that another data set has no place in.
        """
        ours, theirs = ([s for s in slides if s.has_image] for slides in (train, test))
        for slides in (ours, theirs):
            if not slides:
                raise NotApplicable(f"{self.name}: none of the slides to {'test' if ours else 'train'} on has an image")
        as_one = [replace(s, patient=LAST, image_id=LAST, dataset=ours[0].dataset) for s in theirs]
        wanted = {s.id for s in theirs}
        try:
            folds = self.split([*ours, *as_one])
        except NotApplicable:
            folds = []
        for fold in folds:
            whole = all(part.block is None for part in fold.test)
            if whole and {part.slide for part in fold.test} == wanted:
                return replace(fold, id=theirs[0].dataset)
        raise NotApplicable(f"{self.name} does not apply: it has no fold that leaves out another data set as a whole")

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
            Gives all slides of the dataset, those without an image too, for steps that declare ``fit_on="all"``;
            they pass through the steps before as the training parts do.
        """
        states: list[State] = []
        slides = {"train": list(train)}
        for i, step in enumerate(self.target_steps):
            if step.fit_on == "all" and "all" not in slides:
                slides["all"] = list(everything())
                for earlier, state in zip(self.target_steps, states, strict=False):
                    slides["all"] = [earlier.transform(slide, state) for slide in slides["all"]]
            state = step.fit(slides["all" if step.fit_on == "all" else "train"])
            states.append(state)
            if not any(later.fit_on == "all" for later in self.target_steps[i + 1 :]):
                slides.pop("all", None)
            for group in slides.values():
                group[:] = [step.transform(slide, state) for slide in group]
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
