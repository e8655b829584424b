"""Every check of protocols is failed by a protocol with the fault it names, and by no other fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from stbench.errors import NotApplicable
from stbench.protocols import FittedProtocol, Fold, Part, Protocol
from stbench.protocols.folds import fifths
from stbench.protocols.histogene_2021 import HISTOGENE_2021, SECTIONS
from stbench.protocols.steps import FilterSpots, FitOn, State, Unfitted
from stbench.protocols.v1 import STBENCH_BLOCKS_V1, STBENCH_SECTION_V1, STBENCH_V1
from stbench.registry import ProtocolSpec
from stbench.slides import Slide, SlideInfo
from stbench.testing import check_protocol, protocol_checks
from stbench.testing.protocol.counts import raw_slides, without_gene
from stbench.testing.report import ConformanceError

SHARED = {"same_patient", "same_image", "same_slide"}


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[Slide]:
    """Two patients with two sections each."""
    return raw_slides(tmp_path_factory.mktemp("slides"), patients=2, sections=2, spots=64)


def failing(protocol: Protocol, slides: Sequence[Slide]) -> dict[str, str]:
    outcomes = [check.outcome() for check in protocol_checks(protocol, slides=slides)]
    return {o.id: o.message for o in outcomes if o.status == "failed"}


@pytest.mark.parametrize("protocol", [STBENCH_V1, STBENCH_SECTION_V1, STBENCH_BLOCKS_V1])
def test_a_good_protocol_passes(protocol: Protocol, slides: list[Slide]) -> None:
    report = check_protocol(protocol, slides=slides)

    assert {o.status for o in report.outcomes} == {"passed"}


def test_a_protocol_of_named_sections_passes_on_slides_named_like_them(tmp_path: Path) -> None:
    sections = []
    for seed, patient in enumerate("ABCDEFGH"):
        names = [name for name in SECTIONS if name[0] == patient]
        grown = raw_slides(tmp_path / patient, patients=1, sections=len(names), spots=36, seed=seed)
        for name, slide in zip(names, grown, strict=True):
            info = replace(slide.info, id=name, patient=patient, image_id=name)
            sections.append(Slide(slide.adata, info, slide.source))

    report = check_protocol("histogene-2021", slides=sections)

    assert {o.status for o in report.outcomes} == {"passed"}


def test_it_does_not_apply_to_others(slides: list[Slide]) -> None:
    reasons = {o.status: o.message for c in protocol_checks(HISTOGENE_2021) if "folds" in (o := c.outcome()).id}

    assert reasons["skipped"].startswith(
        "give slides=… of the dataset it is made for; 4 patients with 2 sections each: "
    )
    with pytest.raises(
        ConformanceError, match="it does not apply to the slides it was given: the given slides: histogene"
    ):
        check_protocol("histogene-2021", slides=slides)


def splitting(split: Callable[[Sequence[SlideInfo]], list[Fold]], *declares: str) -> Protocol:
    return replace(STBENCH_BLOCKS_V1, split=split, declares=frozenset(declares))


def whole(infos: Sequence[SlideInfo]) -> tuple[Part, ...]:
    return tuple(Part(info.id) for info in infos)


def one_name_for_all_folds(infos: Sequence[SlideInfo]) -> list[Fold]:
    return [replace(fold, id="fold") for fold in STBENCH_V1.split(infos)]


def no_folds(infos: Sequence[SlideInfo]) -> list[Fold]:
    return []


def strangers(infos: Sequence[SlideInfo]) -> list[Fold]:
    return [replace(fold, train=(*fold.train, Part("P9-S1"))) for fold in STBENCH_V1.split(infos)]


def nothing_to_train_on(infos: Sequence[SlideInfo]) -> list[Fold]:
    return [replace(fold, train=()) for fold in STBENCH_V1.split(infos)]


def lists_of_parts(infos: Sequence[SlideInfo]) -> list[Fold]:
    return [replace(fold, test=list(fold.test)) for fold in STBENCH_V1.split(infos)]  # type: ignore[arg-type]


@dataclass(frozen=True)
class UsesSlidesWithoutImage(Protocol):
    def folds(self, slides: Sequence[SlideInfo]) -> list[Fold]:
        return self.split(slides)


@dataclass(frozen=True)
class GivesNoReason(Protocol):
    def folds(self, slides: Sequence[SlideInfo]) -> list[Fold]:
        raise NotApplicable(" ")


def trains_on_the_whole_slide(infos: Sequence[SlideInfo]) -> list[Fold]:
    return [replace(fold, train=whole(infos), validation=()) for fold in fifths(infos)]


def validates_on_the_test(infos: Sequence[SlideInfo]) -> list[Fold]:
    return [replace(fold, validation=fold.test) for fold in STBENCH_V1.split(infos)]


def forgets_a_patient(infos: Sequence[SlideInfo]) -> list[Fold]:
    return STBENCH_V1.split(infos)[1:]


def scores_twice(infos: Sequence[SlideInfo]) -> list[Fold]:
    return [f for fold in STBENCH_V1.split(infos) for f in (fold, replace(fold, id=f"{fold.id} again"))]


@dataclass(frozen=True)
class FilterByQuantile:
    """A filter that would have to be fitted."""

    fit_on: ClassVar[FitOn] = "train"

    def fit(self, slides: Sequence[Slide]) -> State:
        return {"low": 1}

    def transform(self, slide: Slide, state: State) -> Slide:
        return slide.subset(np.asarray(slide.adata.X.sum(1)).ravel() >= state.get("low", 100))


@dataclass(frozen=True)
class Step:
    """A step that learns and changes nothing."""

    fit_on: ClassVar[FitOn] = "train"

    def fit(self, slides: Sequence[Slide]) -> State:
        return {}

    def transform(self, slide: Slide, state: State) -> Slide:
        return slide


class SaysNone(Step):
    fit_on: ClassVar[FitOn] = "none"

    def fit(self, slides: Sequence[Slide]) -> State:
        return {"n": sum(slide.n_spots for slide in slides)}


class SaysTest(Step):
    fit_on = "test"  # type: ignore[assignment]


class CountsFits(Step):
    fits: ClassVar = count()

    def fit(self, slides: Sequence[Slide]) -> State:
        return {"fit": next(self.fits)}


def changing(change: Callable[[Slide], Slide]) -> Step:
    """A step whose transform is a function."""

    class Changing(Step):
        def transform(self, slide: Slide, state: State) -> Slide:
            return change(slide)

    return Changing()


def learning(state: State) -> Step:
    """A step whose state is given."""

    class Learning(Step):
        def fit(self, slides: Sequence[Slide]) -> State:
            return state

    return Learning()


@dataclass(frozen=True)
class Remembers(Step):
    """Learns from slides it has transformed, training slides or not."""

    seen: dict[str, float] = field(default_factory=dict)

    def fit(self, slides: Sequence[Slide]) -> State:
        own = {slide.info.id for slide in slides}
        return {"others": sum(total for name, total in self.seen.items() if name not in own)}

    def transform(self, slide: Slide, state: State) -> Slide:
        self.seen[slide.info.id] = float(slide.target.sum())
        return slide


@dataclass(frozen=True)
class LooksAtEverything(Protocol):
    def fit(self, train: Sequence[Slide], everything: Callable[[], Sequence[Slide]] = tuple) -> FittedProtocol:
        everything()
        return super().fit(train, everything)


def noisy(slide: Slide) -> Slide:
    return with_x(slide, slide.target + np.random.default_rng().normal(0, 0.01, slide.target.shape).astype(np.float32))


def with_x(slide: Slide, x: Any) -> Slide:
    adata = slide.adata.copy()
    adata.X = x
    return slide.with_adata(adata)


def without_mask(slide: Slide) -> Slide:
    adata = slide.adata.copy()
    del adata.layers["measured"]
    return slide.with_adata(adata)


def all_measured(slide: Slide) -> Slide:
    adata = slide.adata.copy()
    adata.layers["measured"][:] = True
    return slide.with_adata(adata)


def without_what_is_missing(slide: Slide) -> Slide:
    return slide.with_adata(slide.adata[:, slide.measured.all(0)].copy())


def by_mean(slide: Slide) -> Slide:
    return slide.with_adata(slide.adata[:, np.argsort(-slide.target.mean(0))].copy())


def every_other_spot(slide: Slide) -> Slide:
    return slide.subset(np.arange(0, slide.n_spots, 2))


def not_finite(slide: Slide) -> Slide:
    return with_x(slide, np.where(slide.target == 0, np.float32("nan"), slide.target))


def in_place(slide: Slide) -> Slide:
    slide.adata.obs["n_counts"] = np.asarray(slide.adata.X.sum(1)).ravel()
    return slide


class CountsInPlace(Unfitted):
    """A filter that notes what it counts."""

    def transform(self, slide: Slide, state: State) -> Slide:
        return in_place(slide)


def steps(*last: Any, first: Any = None, protocol: Protocol = STBENCH_V1) -> Protocol:
    """The headline protocol with more steps."""
    before = () if first is None else (first,)
    return replace(protocol, target_steps=(*before, *protocol.target_steps, *last))


def of_class(cls: type[Protocol], protocol: Protocol = STBENCH_V1) -> Protocol:
    return cls(**{name: getattr(protocol, name) for name in protocol.__dataclass_fields__})


UNMARKED = replace(STBENCH_V1, target_steps=STBENCH_V1.target_steps[:-1])  # AnnotateGenes is the last


@pytest.mark.parametrize(
    ("protocol", "check", "sentence"),
    [
        (replace(STBENCH_V1, name="My protocol"), "named", "the name 'My protocol' does not match"),
        (replace(STBENCH_V1, version=""), "named", "it states no version"),
        (
            replace(STBENCH_V1, declares=frozenset({"same_moon"})),
            "named",
            "it declares same_moon; there are",
        ),
        (replace(STBENCH_V1, headline="pearson"), "headline_registered", "'pearson' is no registered metric"),
        (splitting(one_name_for_all_folds), "folds_from_metadata", "two folds are called 'fold'"),
        (splitting(no_folds), "folds_from_metadata", "gives an empty list; raise NotApplicable with the reason"),
        (of_class(GivesNoReason), "folds_from_metadata", "it does not apply and gives no reason"),
        (splitting(strangers), "folds_from_metadata", "uses slides that are not there or have no image: P9-S1"),
        (splitting(nothing_to_train_on), "folds_from_metadata", "fold P1 has no train part"),
        (splitting(lists_of_parts), "folds_from_metadata", "changes on its way through JSON; parts are tuples of Part"),
        (of_class(UsesSlidesWithoutImage), "folds_from_metadata", "there or have no image: P2-S2"),
        (replace(STBENCH_SECTION_V1, declares=frozenset()), "overlaps_declared", "or declare 'same_patient'"),
        (replace(STBENCH_BLOCKS_V1, declares=frozenset({"same_patient", "same_image"})), "overlaps_declared", "P1-S1"),
        (splitting(trains_on_the_whole_slide, *SHARED), "spots_apart", "is in train and in test"),
        (splitting(validates_on_the_test, *SHARED), "spots_apart", "is in validation and in test"),
        (splitting(forgets_a_patient), "every_spot_tested", "126 of 252 spots are never tested"),
        (splitting(scores_twice), "every_spot_tested", "252 spots are tested more than once"),
        (
            replace(STBENCH_V1, spot_steps=(FilterSpots(), FilterByQuantile())),
            "fits_on_all_in_ledger",
            "FilterByQuantile() filters spots and is never fitted; move it to target_steps",
        ),
        (steps(SaysNone()), "fits_on_all_in_ledger", "says fit_on='none' and learns something; say 'train'"),
        (steps(SaysTest()), "fits_on_all_in_ledger", "says fit_on='test'; it is one of none, train, all"),
        (steps(CountsFits()), "transform_repeatable", "fitting twice gives two states of "),
        (steps(changing(noisy)), "transform_repeatable", "a slide transformed twice differs in X"),
        (
            steps(Remembers()),
            "fit_sees_train_only",
            "after transforming another draw of it the fit is",
        ),
        (
            of_class(LooksAtEverything),
            "fit_sees_train_only",
            "all slides are asked for though no step says fit_on='all'",
        ),
        (steps(learning({"mean": np.float32(1)})), "states_are_json", "is not JSON: Object of type float32"),
        (steps(learning({"mean": float("inf")})), "states_are_json", "is not JSON: Out of range float values"),
        (steps(learning({"range": (0, 1)})), "states_are_json", "changes on its way through JSON; use lists"),
        (steps(changing(lambda s: with_x(s, s.target.astype(float)))), "target", "X is float64; make it a dense array"),
        (steps(changing(not_finite)), "target", "X has values that are not finite"),
        (steps(changing(without_mask)), "target", 'layers["measured"] is not there; select_panel makes it'),
        (steps(changing(by_mean)), "target", "the genes are others, or in another order, than on other slides"),
        (steps(changing(every_other_spot)), "target", "the target has other spots than it was given; filter in"),
        (steps(changing(all_measured)), "target", "a panel gene that a test slide lacks counts as measured"),
        (
            steps(changing(without_what_is_missing)),
            "target",
            "a panel gene that a test slide lacks is left out",
        ),
        (UNMARKED, "target", "var lacks hvg50, heg50; end with the step AnnotateGenes"),
        (
            replace(STBENCH_V1, spot_steps=(CountsInPlace(),)),
            "inputs_untouched",
            "modified obs of a slide given to filt",
        ),
        (
            steps(first=changing(in_place)),
            "inputs_untouched",
            "given to fit, obs of a slide given to transform",
        ),
    ],
)
def test_a_fault_fails_the_check_that_names_it_and_no_other(
    protocol: Protocol, check: str, sentence: str, slides: list[Slide]
) -> None:
    failed = failing(protocol, slides)

    assert list(failed) == [check]
    assert sentence in failed[check]


def test_leaving_spots_untested_may_be_declared(slides: list[Slide]) -> None:
    assert failing(splitting(forgets_a_patient, "untested"), slides) == {}


def test_a_protocol_that_is_not_the_one_its_spec_names() -> None:
    spec = ProtocolSpec(name="mine", factory="stbench.protocols.v1:STBENCH_V1")

    with pytest.raises(ConformanceError, match="named: it says it is 'stbench-v1', its spec 'mine'"):
        check_protocol(spec, only=["named"])


def test_raw_slides_are_as_datasets_load_them(slides: list[Slide]) -> None:
    for slide in slides:
        counts = slide.adata.X.toarray()
        assert counts.dtype == np.int32
        assert (counts.sum(1) < 100).tolist() == [True] + [False] * 63
        assert not slide.adata.layers
        assert slide.adata.raw is None
        assert slide.adata.n_vars == 28
    assert "ENSG00000000003" not in without_gene(slides[0], "ENSG00000000003").adata.var_names
