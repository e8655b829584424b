"""A protocol under check: its folds on small datasets, filtered and cut as the harness does it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stbench.errors import NotApplicable
from stbench.protocols import FittedProtocol, Fold, Part, Protocol
from stbench.registry import ProtocolSpec
from stbench.slides import Slide, SlideInfo
from stbench.testing.check import DoesNotApply
from stbench.testing.protocol.counts import copied, layouts


@dataclass
class Layout:
    """A small dataset, and what the protocol makes of it.

    Attributes
    ----------
    asked_for_all
        How often all slides were asked for while something was fitted.
    """

    name: str
    slides: dict[str, Slide]
    folds: list[Fold]
    protocol: Protocol
    asked_for_all: int = field(default=0, init=False)

    @cached_property
    def filtered(self) -> dict[str, Slide]:
        """Slides that have an image, after the spot filters."""
        return {name: self.protocol.filter(copied(s)) for name, s in self.slides.items() if s.info.has_image}

    def cut(self, parts: Sequence[Part]) -> list[Slide]:
        """Return copies of the slides or blocks that parts name."""
        slides = [(self.filtered[part.slide], part.block) for part in parts]
        return [copied(slide.subset(block.mask(slide)) if block else slide) for slide, block in slides]

    @property
    def train(self) -> list[Slide]:
        """Training parts of the first fold."""
        return self.cut(self.folds[0].train)

    @property
    def test(self) -> Slide:
        """First test part of the first fold."""
        return self.cut(self.folds[0].test[:1])[0]

    def fit(self, train: Sequence[Slide] | None = None) -> FittedProtocol:
        """Fit on the first fold's training parts."""
        return self.protocol.fit(self.train if train is None else train, self._everything)

    def _everything(self) -> list[Slide]:
        self.asked_for_all += 1
        return [self.protocol.filter(copied(slide)) for slide in self.slides.values()]


class ProtocolSubject:
    """A protocol or its spec, and the datasets it is tried on.

    Parameters
    ----------
    slides
        Raw-count slides of the dataset that the protocol is made for; by default small generated ones.
    """

    def __init__(self, subject: ProtocolSpec | Protocol, slides: Sequence[Slide] = ()) -> None:
        self.spec = subject if isinstance(subject, ProtocolSpec) else None
        self._given = subject
        self.given_slides = list(slides)
        self._scratch = tempfile.TemporaryDirectory(prefix="stbench-check-")

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol."""
        found = self._given.load() if isinstance(self._given, ProtocolSpec) else self._given
        assert isinstance(found, Protocol), f"{type(found).__name__} is not a stbench.protocols.Protocol"
        return found

    @property
    def fits_on_all(self) -> bool:
        """Whether a step declares that its fit sees every slide."""
        return any(step.fit_on == "all" for step in self.protocol.target_steps)

    @cached_property
    def datasets(self) -> dict[str, list[Slide]]:
        """Datasets to try it on."""
        return {"the given slides": self.given_slides} if self.given_slides else layouts(Path(self._scratch.name))

    def folds(self, infos: Sequence[SlideInfo]) -> list[Fold] | str:
        """Folds from metadata, or why the protocol does not apply."""
        try:
            return self.protocol.folds(infos)
        except NotApplicable as error:
            return str(error)

    @cached_property
    def applicable(self) -> list[Layout]:
        """Datasets the protocol gives folds for."""
        found = ((name, slides, self.folds([s.info for s in slides])) for name, slides in self.datasets.items())
        return [
            Layout(name, {s.info.id: s for s in slides}, folds, self.protocol)
            for name, slides, folds in found
            if not isinstance(folds, str)
        ]

    def each_fold(self) -> Iterator[tuple[str, Layout, Fold]]:
        """Every fold of every dataset, and how a message calls it."""
        if not self.applicable:
            raise DoesNotApply("it gives no folds on these slides (folds_from_metadata says why)")
        for layout in self.applicable:
            for fold in layout.folds:
                yield f"{layout.name}, fold {fold.id}", layout, fold
