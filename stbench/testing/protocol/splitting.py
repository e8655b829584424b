"""Checks of protocols: names, folds and their parts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from stbench.protocols import Fold, Part
from stbench.registry import NAME_PATTERN, discover
from stbench.slides import Slide
from stbench.testing.check import Checks, DoesNotApply
from stbench.testing.protocol.counts import without_image
from stbench.testing.protocol.subject import Layout, ProtocolSubject

checks: Checks[ProtocolSubject] = Checks("protocol")

FOLDS = ("folds_from_metadata",)
SHARED = {"same_patient": "patient", "same_image": "image_id", "same_slide": "id"}
"""What training and test may share if the protocol declares it, and the metadata that tells."""
UNTESTED = "untested"
"""Declared by a protocol that leaves spots out of every test part."""
VALIDATION_IS_TEST = "validation_is_test"
"""Declared by a protocol whose validation parts are its test parts."""


@checks.add("cells name their protocol, and find it again by that name")
def named(subject: ProtocolSubject) -> None:
    """Name and version are stated, the name is the registered one, and what it declares is known."""
    protocol = subject.protocol
    assert NAME_PATTERN.fullmatch(protocol.name), f"the name {protocol.name!r} does not match {NAME_PATTERN.pattern}"
    assert protocol.version, "it states no version"
    if subject.spec is not None:
        assert protocol.name == subject.spec.name, f"it says it is {protocol.name!r}, its spec {subject.spec.name!r}"
    known = (*SHARED, UNTESTED, VALIDATION_IS_TEST)
    unknown = sorted(protocol.declares - {*known})
    assert not unknown, f"it declares {', '.join(unknown)}; there are {', '.join(known)}"


@checks.add("the leaderboard shows the headline first")
def headline_registered(subject: ProtocolSubject) -> None:
    """The headline is a registered metric."""
    names = discover().names("metric")
    headline = subject.protocol.headline
    assert headline in names, f"the headline {headline!r} is no registered metric; there are {', '.join(names)}"


@checks.add("plans and coverage are made before a slide is loaded")
def folds_from_metadata(subject: ProtocolSubject) -> None:
    """Each dataset has folds or a reason why not, some have folds; slides without an image are never used."""
    reasons = []
    for name, slides in subject.datasets.items():
        folds = subject.folds([slide.info for slide in slides])
        if isinstance(folds, str):
            assert folds.strip(), f"on {name} it does not apply and gives no reason; say it in NotApplicable"
            reasons.append(f"{name}: {folds}")
        else:
            _require_folds(folds, slides, name)
        lacking = [*slides[:-1], without_image(slides[-1])]
        fewer = subject.folds([slide.info for slide in lacking])
        if not isinstance(fewer, str):
            _require_folds(fewer, lacking, f"{name}, one without its image")
    if not subject.applicable and not subject.given_slides:
        raise DoesNotApply(f"give slides=… of the dataset it is made for; {'; '.join(reasons)}")
    assert subject.applicable, f"it does not apply to the slides it was given: {'; '.join(reasons)}"


def _require_folds(folds: Sequence[Fold], slides: Sequence[Slide], name: str) -> None:
    assert folds, f"on {name} it gives an empty list; raise NotApplicable with the reason"
    twice = [i for i, n in Counter(fold.id for fold in folds).items() if n > 1]
    assert not twice, f"on {name} two folds are called {twice[0]!r}"
    usable = {slide.info.id for slide in slides if slide.info.has_image}
    for fold in folds:
        which = f"on {name}, fold {fold.id}"
        assert fold.id, f"on {name} a fold has no id; name it after what is held out"
        for role in ("train", "test"):
            assert getattr(fold, role), f"{which} has no {role} part"
        strangers = sorted({p.slide for p in _parts(fold)} - usable)
        assert not strangers, f"{which} uses slides that are not there or have no image: {', '.join(strangers)}"
        again = Fold.from_json(json.loads(json.dumps(fold.to_json())))
        assert again == fold, f"{which} changes on its way through JSON; parts are tuples of Part"


def _parts(fold: Fold) -> tuple[Part, ...]:
    return (*fold.train, *fold.validation, *fold.test)


@checks.add("sister sections in training and test are the field's commonest leak", needs=FOLDS)
def overlaps_declared(subject: ProtocolSubject) -> None:
    """Training or validation shares a patient, image or slide with test only where the protocol declares it."""
    for which, layout, fold in subject.each_fold():
        for kind, name in SHARED.items():
            if kind in subject.protocol.declares:
                continue
            seen, tested = (
                {getattr(layout.slides[p.slide].info, name) or p.slide for p in parts}
                for parts in ((*fold.train, *_held_out(subject, fold)), fold.test)
            )
            shared = ", ".join(sorted(seen & tested))
            assert not shared, f"{which}: {shared} is in training and test; keep them apart, or declare {kind!r}"


@checks.add("a spot that trains or validates and is scored is scored too well", needs=FOLDS)
def spots_apart(subject: ProtocolSubject) -> None:
    """After filters and cuts, every part has spots, and training, validation and test share none."""
    for which, layout, fold in subject.each_fold():
        owner: dict[tuple[str, str], str] = {}
        for role, parts in (("train", fold.train), ("validation", _held_out(subject, fold)), ("test", fold.test)):
            for slide, spots in _spots(layout, parts):
                assert spots, f"{which}: a {role} part of {slide} has no spot left; cut it otherwise"
                for spot in spots:
                    other = owner.setdefault((slide, spot), role)
                    assert other == role, f"{which}: spot {spot} of {slide} is in {other} and in {role}"


def _held_out(subject: ProtocolSubject, fold: Fold) -> tuple[Part, ...]:
    """Validation parts, without those that are tested too where the protocol declares that."""
    declared = VALIDATION_IS_TEST in subject.protocol.declares
    return tuple(part for part in fold.validation if not (declared and part in fold.test))


def _spots(layout: Layout, parts: Sequence[Part]) -> list[tuple[str, list[str]]]:
    return [(slide.info.id, list(slide.adata.obs_names)) for slide in layout.cut(parts)]


@checks.add("a mean over folds is a mean over the dataset only if each spot counts once", needs=FOLDS)
def every_spot_tested(subject: ProtocolSubject) -> None:
    """Over all folds, every spot that passes the filters is tested once; never, only if declared ``untested``."""
    _ = next(subject.each_fold())
    for layout in subject.applicable:
        tested = Counter(
            (slide, spot) for fold in layout.folds for slide, spots in _spots(layout, fold.test) for spot in spots
        )
        twice = [f"{spot} of {slide}" for (slide, spot), n in tested.items() if n > 1]
        assert not twice, f"{layout.name}: {len(twice)} spots are tested more than once, spot {twice[0]} for one"
        there = {(name, spot) for name, slide in layout.filtered.items() for spot in slide.adata.obs_names}
        never = sorted(there - set(tested))
        if never and UNTESTED not in subject.protocol.declares:
            slide, spot = never[0]
            raise AssertionError(
                f"{layout.name}: {len(never)} of {len(there)} spots are never tested, spot {spot} of {slide} for one; "
                f"hold each out once, or declare {UNTESTED!r}"
            )
