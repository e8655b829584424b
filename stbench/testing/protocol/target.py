"""Checks of protocols: what is fitted, on what, and the target it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from stbench.protocols import FittedProtocol
from stbench.slides import Slide
from stbench.testing.content import changed, content
from stbench.testing.protocol.counts import another_draw, copied, without_gene
from stbench.testing.protocol.splitting import FOLDS, checks
from stbench.testing.protocol.subject import Layout, ProtocolSubject

FIT_ON = ("none", "train", "all")
MARKS = ("hvg50", "heg50")
REPEATABLE = (*FOLDS, "transform_repeatable")


def _layouts(subject: ProtocolSubject) -> Iterator[Layout]:
    _ = next(subject.each_fold())
    yield from subject.applicable


@checks.add(
    "the ledger shows a step that says it sees test slides; one that does not say so is a hidden leak", needs=FOLDS
)
def fits_on_all_in_ledger(subject: ProtocolSubject) -> None:
    """Steps say what their fit sees, and filters are not fitted."""
    steps = subject.protocol.target_steps
    for step in (*subject.protocol.spot_steps, *steps):
        said = getattr(step, "fit_on", None)
        assert said in FIT_ON, f"{step!r} says fit_on={said!r}; it is one of {', '.join(FIT_ON)}"
    fitted = [step for step in subject.protocol.spot_steps if step.fit_on != "none"]
    assert not fitted, f"{fitted[0]!r} filters spots and is never fitted; move it to target_steps"
    for layout in subject.applicable:
        learnt = [s for s, state in zip(steps, layout.fit().states, strict=True) if s.fit_on == "none" and state]
        assert not learnt, f"{learnt[0]!r} says fit_on='none' and learns something; say 'train'"


@checks.add("a target that differs between two runs makes two tasks of one", needs=FOLDS)
def transform_repeatable(subject: ProtocolSubject) -> None:
    """Fitted twice, the states are the same; transformed twice, a slide is the same."""
    for layout in _layouts(subject):
        first, second = layout.fit(), layout.fit()
        assert first.states == second.states, f"{layout.name}: fitting twice gives two states{_unlike(first, second)}"
        one, other = (content(first.transform(layout.test)) for _ in range(2))
        differ = changed(one, other)
        assert not differ, f"{layout.name}: a slide transformed twice differs in {', '.join(differ)}"


def _unlike(first: FittedProtocol, second: FittedProtocol) -> str:
    steps = first.protocol.target_steps
    unlike = [repr(s) for s, a, b in zip(steps, first.states, second.states, strict=True) if a != b]
    return f" of {', '.join(unlike)}"


@checks.add("a panel or a scale chosen with the test slide in view makes the test easier", needs=REPEATABLE)
def fit_sees_train_only(subject: ProtocolSubject) -> None:
    """All slides are asked for only by a step that says so; what was transformed before changes no fit."""
    for layout in _layouts(subject):
        asked = layout.asked_for_all
        first = layout.fit()
        assert subject.fits_on_all or layout.asked_for_all == asked, (
            f"{layout.name}: all slides are asked for though no step says fit_on='all'"
        )
        for what, test in (("the test slide", layout.test), ("another draw of it", another_draw(layout.test, 1))):
            first.transform(test)
            again = layout.fit()
            assert first.states == again.states, (
                f"{layout.name}: after transforming {what} the fit is another{_unlike(first, again)}; keep what is "
                "learnt in the state, and learn from the training parts only"
            )


@checks.add("states are cached between the models of a fold, and hashed into the truth's key", needs=FOLDS)
def states_are_json(subject: ProtocolSubject) -> None:
    """States survive JSON, and transform alike afterwards."""
    for layout in _layouts(subject):
        fitted = layout.fit()
        for step, state in zip(subject.protocol.target_steps, fitted.states, strict=True):
            try:
                again = json.loads(json.dumps(state, allow_nan=False))
            except (TypeError, ValueError) as error:
                raise AssertionError(f"the state of {step!r} is not JSON: {error}; keep plain values") from error
            assert again == state, f"the state of {step!r} changes on its way through JSON; use lists and string keys"


@checks.add("models, scores and the store take this for granted", needs=FOLDS)
def target(subject: ProtocolSubject) -> None:
    """X is (spots, genes) float32, finite, in one gene order; what was not measured is marked, and so are top genes."""
    for layout in _layouts(subject):
        fitted = layout.fit()
        panel: list[str] | None = None
        fold = layout.folds[0]
        for slide in layout.cut((*fold.train, *fold.validation, *fold.test)):
            made, which = fitted.transform(slide), f"{layout.name}, slide {slide.info.id}"
            panel = panel or list(made.adata.var_names)
            _require_target(made, slide, panel, which)
        _require_unmeasured_marked(fitted, layout, (panel or [])[0])


def _require_target(made: Slide, given: Slide, panel: list[str], which: str) -> None:
    x, adata = made.adata.X, made.adata
    assert list(adata.var_names) == panel, f"{which}: the genes are others, or in another order, than on other slides"
    assert len(set(panel)) == len(panel), f"{which}: a gene is twice in the panel"
    assert list(adata.obs_names) == list(given.adata.obs_names), (
        f"{which}: the target has other spots than it was given; filter in spot_steps"
    )
    assert np.array_equal(made.centers_px, given.centers_px), f"{which}: the spots' centres have changed"
    kind = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
    assert kind == np.float32, f"{which}: X is {kind}; make it a dense array of float32"
    assert np.isfinite(x).all(), f"{which}: X has values that are not finite"
    measured = adata.layers.get("measured")
    said = "not there" if measured is None else f"{measured.dtype}"
    assert said == "bool", f'{which}: layers["measured"] is {said}; select_panel makes it'
    absent = [name for name in ("symbol", *MARKS) if name not in adata.var]
    assert not absent, f"{which}: var lacks {', '.join(absent)}; end with the step AnnotateGenes"


def _require_unmeasured_marked(fitted: FittedProtocol, layout: Layout, gene: str) -> None:
    made = fitted.transform(without_gene(layout.test, gene))
    column = list(made.adata.var_names).index(gene) if gene in made.adata.var_names else None
    assert column is not None, f"{layout.name}: a panel gene that a test slide lacks is left out; mark it unmeasured"
    assert not made.measured[:, column].any(), f"{layout.name}: a panel gene that a test slide lacks counts as measured"
    assert np.isfinite(made.target).all(), f"{layout.name}: a panel gene that a test slide lacks is not finite; use 0"


@checks.add("slides are loaded once, and shared by parts, steps and models", needs=FOLDS)
def inputs_untouched(subject: ProtocolSubject) -> None:
    """Neither the filters nor fit nor transform change the slides they are given."""
    for layout in _layouts(subject):
        raw, train, test = copied(next(iter(layout.slides.values()))), layout.train, layout.test
        given = {"filter": [raw], "fit": train, "transform": [test]}
        before = {name: [content(slide) for slide in slides] for name, slides in given.items()}
        subject.protocol.filter(raw)
        layout.fit(train).transform(test)
        modified = [
            f"{what} of a slide given to {name}"
            for name, slides in given.items()
            for old, slide in zip(before[name], slides, strict=True)
            for what in changed(old, content(slide))
        ]
        assert not modified, f"{layout.name}: modified {', '.join(dict.fromkeys(modified))}; work on a copy"
