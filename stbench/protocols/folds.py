"""Folds and their parts: values made from metadata alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stbench.errors import NotApplicable
from stbench.slides import Slide, SlideInfo

FIFTHS = 5


@dataclass(frozen=True)
class Block:
    """A band of a slide, by quantiles of an array coordinate over the filtered spots.

    Attributes
    ----------
    axis
        Which array coordinate.
    start, stop
        Quantiles; a `stop` beyond 1 wraps round (0.8 to 1.2: the last fifth and the first).
    buffer
        Rings of spots around the band that belong to neither side.
    keep
        The band itself (``inside``), or what lies beyond its buffer (``outside``).
    """

    axis: Literal["row", "col"]
    start: float
    stop: float
    buffer: int = 1
    keep: Literal["inside", "outside"] = "inside"

    def mask(self, slide: Slide) -> NDArray[np.bool_]:
        """Spots of `slide` that this block keeps, (spots,)."""
        coordinate = slide.array_positions[:, 0 if self.axis == "row" else 1]
        inside = _between(coordinate, self.start, min(self.stop, 1.0))
        if self.stop > 1.0:
            inside |= _between(coordinate, 0.0, self.stop - 1.0)
        if self.keep == "inside":
            return inside
        near = inside.copy()
        if self.buffer:
            source, target = slide.neighbours("grid", hops=self.buffer)
            near[target[inside[source]]] = True
        return ~near


def _between(coordinate: NDArray[np.float64], start: float, stop: float) -> NDArray[np.bool_]:
    low, high = np.quantile(coordinate, [start, stop])
    upper = coordinate <= high if stop >= 1.0 else coordinate < high
    return np.asarray((coordinate >= low) & upper)


@dataclass(frozen=True)
class Part:
    """A slide, or a block of one."""

    slide: str
    block: Block | None = None


@dataclass(frozen=True)
class Fold:
    """Train, validation and test parts; `id` names the held-out unit."""

    id: str
    train: tuple[Part, ...]
    validation: tuple[Part, ...]
    test: tuple[Part, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as they enter the cell key; not to be changed: all cells of a fold share them."""
        return self._plain

    @cached_property
    def _plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Fold:
        """Inverse of `to_json`."""

        def parts(items: Sequence[dict[str, Any]]) -> tuple[Part, ...]:
            return tuple(Part(i["slide"], Block(**i["block"]) if i["block"] else None) for i in items)

        return cls(value["id"], parts(value["train"]), parts(value["validation"]), parts(value["test"]))


def leave_one_out(slides: Sequence[SlideInfo], unit: Callable[[SlideInfo], str]) -> list[Fold]:
    """Leave out one unit (patient, section) after the other.

    Validation is the next training unit by name, cyclically, when at least three train; else the last fifth of
    each training slide.
    """
    units = sorted({unit(s) for s in slides})
    return leave_groups_out(slides, unit, {name: [name] for name in units})


def leave_groups_out(
    slides: Sequence[SlideInfo], unit: Callable[[SlideInfo], str], groups: Mapping[str, Sequence[str]]
) -> list[Fold]:
    """Leave out one group of units after the other; `groups` are by the name of their fold.

    Validation is as in `leave_one_out`, the next training unit being counted from the last one left out.
    """
    units = sorted({unit(s) for s in slides})
    if len(units) < 2:
        raise NotApplicable("leaving one out needs two")
    folds = []
    for name, held_out in groups.items():
        after = units.index(max(held_out)) + 1
        others = [u for u in units[after:] + units[:after] if u not in held_out]
        test = _whole(slides, unit, set(held_out))
        if len(others) >= 3:
            train, validation = _whole(slides, unit, set(others[1:])), _whole(slides, unit, {others[0]})
        else:
            last = 1 - 1 / FIFTHS
            names = [p.slide for p in _whole(slides, unit, set(others))]
            train = tuple(Part(n, Block("row", last, 1.0, keep="outside")) for n in names)
            validation = tuple(Part(n, Block("row", last, 1.0)) for n in names)
        folds.append(Fold(name, train, validation, test))
    return folds


def leave_one_patient_out(slides: Sequence[SlideInfo]) -> list[Fold]:
    """`leave_one_out` by patient."""
    try:
        return leave_one_out(slides, lambda s: s.patient)
    except NotApplicable:
        raise NotApplicable("leave-one-patient-out needs two patients") from None


def leave_one_section_out(slides: Sequence[SlideInfo]) -> list[Fold]:
    """`leave_one_out` by section: bin sizes of one section share its image and are left out together."""
    try:
        return leave_one_out(slides, lambda s: s.image_id or s.id)
    except NotApplicable:
        raise NotApplicable("leave-one-section-out needs two slides") from None


def leave_one_annotated_patient_out(slides: Sequence[SlideInfo]) -> list[Fold]:
    """`leave_one_patient_out`, testing annotated slides only; the others of a patient that is left out are not used."""
    annotated = {s.id for s in slides if s.has_regions}
    if not annotated:
        raise NotApplicable("no slide is annotated with regions")
    folds = [
        replace(fold, test=tuple(part for part in fold.test if part.slide in annotated))
        for fold in leave_one_patient_out(slides)
    ]
    return [fold for fold in folds if fold.test]


def fifths(slides: Sequence[SlideInfo]) -> list[Fold]:
    """Five contiguous bands of every slide in turn; validation is the next band, a ring of spots lies between."""
    folds = []
    for i in range(FIFTHS):
        after = (i + 1) % FIFTHS
        outside = Block("row", i / FIFTHS, (i + 2) / FIFTHS, keep="outside")
        validation = Block("row", after / FIFTHS, (after + 1) / FIFTHS)
        test = Block("row", i / FIFTHS, (i + 1) / FIFTHS)
        train, validate, score = (tuple(Part(s.id, block) for s in slides) for block in (outside, validation, test))
        folds.append(Fold(f"block-{i + 1}", train, validate, score))
    return folds


def _whole(slides: Sequence[SlideInfo], unit: Callable[[SlideInfo], str], chosen: set[str]) -> tuple[Part, ...]:
    return tuple(Part(s.id) for s in sorted(slides, key=lambda s: s.id) if unit(s) in chosen)
