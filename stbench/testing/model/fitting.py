"""Checks of models: parameters, and what fitting and predicting give."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from stbench.models.contract import Model, Params, Savable
from stbench.testing.check import Blocked, Checks, DoesNotApply
from stbench.testing.edge_cases import with_gene_order
from stbench.testing.model.prediction import Values, difference, whole
from stbench.testing.model.subject import ModelSubject, Slides
from stbench.testing.watch import NetworkRefused

checks: Checks[ModelSubject] = Checks("model")

FIT = ("fit_predict",)
REPEATABLE = ("fit_predict", "predict_twice")
SAME = 1e-5
"""Relative difference below which predictions of one computation are the same."""
REORDERED = 1e-4
"""The same, where sums are taken in another order."""


@checks.add("parameters are hashed into every cell's key, set from the command line, and stored with every run")
def parameters(subject: ModelSubject) -> None:
    """Every preset is valid; parameters survive JSON; unknown names, wrong types and NaN are refused."""
    params_class = subject.params_class
    for name, values in (subject.spec.presets if subject.spec else {}).items():
        try:
            params_class.model_validate(dict(values))
        except ValidationError as error:
            raise AssertionError(f"preset {name} is not valid: {error}") from error
    again = params_class.model_validate_json(subject.params.model_dump_json())
    assert again == subject.params, f"parameters change on their way through JSON: {subject.params} becomes {again}"
    given = subject.params.model_dump(mode="json")
    for name, nonsense in _nonsense(given):
        try:
            params_class.model_validate({**given, name: nonsense})
        except (ValidationError, ValueError):
            continue
        raise AssertionError(f"{params_class.__name__} accepts {name}={nonsense!r}; give the field a type and bounds")


def _nonsense(given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "a-parameter-that-does-not-exist", 1
    for name, value in given.items():
        yield name, {"no": "thing"}
        if isinstance(value, float):
            yield name, float("nan")


@checks.add("every run fits on several slides and predicts slides without expression")
def fit_predict(subject: ModelSubject) -> None:
    """Fit on three slides with one for validation; a prediction is (spots, genes) float32, finite."""
    test = subject.slides.test  # grown before the clock starts
    started = time.perf_counter()
    try:
        assert subject.prediction.shape == (test.n_spots, test.adata.n_vars)
    except NetworkRefused as error:
        raise Blocked("it needs the network, see no_network") from error
    subject.seconds = time.perf_counter() - started


@checks.add("the preset smoke (or the defaults) is what everybody tries first, on a CPU", needs=FIT)
def quick(subject: ModelSubject) -> None:
    """One fit and prediction on small slides stays below the time limit."""
    assert subject.seconds <= subject.limit_s, (
        f"fitting and predicting small slides took {subject.seconds:.1f} s, the limit is {subject.limit_s:g} s; "
        "give the spec a preset smoke that takes seconds, and look for Python loops over spots"
    )


@checks.add("dropout or batch statistics left on at test time make every number a draw", needs=FIT)
def predict_twice(subject: ModelSubject) -> None:
    """The same fitted model predicts the same slide alike twice."""
    again = subject.predict(subject.base, subject.slides.test, "the same slide again")
    worst = difference(subject.prediction, again)
    assert worst <= SAME, (
        f"predicts the same slide differently the second time (by {worst:.2g}); is dropout or batch normalisation in "
        "training mode?"
    )


@checks.add("a number that cannot be had again cannot be believed", needs=REPEATABLE)
def same_seed(subject: ModelSubject) -> None:
    """Two fits with one seed predict alike; if the spec says deterministic, so do two seeds."""
    worst = difference(subject.prediction, subject.predict(subject.twin, subject.slides.test, "a twin"))
    if subject.deterministic:
        assert worst <= SAME, f"the spec says deterministic, but seeds 0 and 1 differ by {worst:.2g}"
    assert worst <= SAME, (
        f"two fits with the same seed differ by {worst:.2g}; draw from context.seed alone, inside "
        "`with seeded(self.context)` (stbench.models.seeding) for global generators"
    )


@checks.add("the harness may give spots in any order, and merges blocks of a slide", needs=REPEATABLE)
def spot_order(subject: ModelSubject) -> None:
    """Spots in another order give the same predictions in that order."""
    test = subject.slides.test
    order = np.random.default_rng(0).permutation(test.n_spots)
    shuffled = subject.predict(subject.base, test.subset(order), "spots in another order")
    worst = difference(subject.prediction[order], shuffled)
    assert worst <= REORDERED, (
        f"predictions depend on the order of the spots (by {worst:.2g}); sort or break ties by array coordinates"
    )


@checks.add("a slide that does not fit in memory is asked for in blocks of models that say they are", needs=REPEATABLE)
def pointwise(subject: ModelSubject) -> None:
    """A model that says it is pointwise predicts some spots as it predicts them among all."""
    if not subject.base.pointwise:
        raise DoesNotApply("the model does not say it is pointwise")
    test = subject.slides.test
    some = slice(test.n_spots // 3, test.n_spots // 2)
    alone = subject.predict(subject.base, test.block(some), "a block of spots")
    worst = difference(subject.prediction[some], alone)
    assert worst <= REORDERED, (
        f"predictions of a block differ (by {worst:.2g}) from those of its spots among all: they hang on other "
        "spots; leave `pointwise` False"
    )


@checks.add("folds and blocks leave any subset of a slide's spots", needs=FIT)
def any_number_of_spots(subject: ModelSubject) -> None:
    """A third of the spots, and a single one, can be predicted."""
    test = subject.slides.test
    subject.predict(subject.base, test.subset(np.arange(0, test.n_spots, 3)), "a third of the spots")
    subject.predict(subject.base, test.subset(np.array([0])), "a single spot")


@checks.add("genes in the wrong columns look like a bad method, not like a mistake", needs=FIT)
def gene_order(subject: ModelSubject) -> None:
    """Refitted with the genes in another order, each gene is predicted in its own column."""
    slides = subject.slides
    by_mean = slides.test.target.mean(0).argsort()
    order = np.empty_like(by_mean)
    order[by_mean] = np.roll(by_mean, len(by_mean) // 2)  # each gene goes where one of another mean was
    train, validation = ([with_gene_order(s, order) for s in some] for some in (slides.train, slides.validation))
    model = subject.fit(train, validation)
    prediction = subject.predict(model, slides.test, "genes in another order")
    names = slides.test.adata.var_names[order]
    misplaced = names[misplaced_columns(prediction, subject.prediction[:, order])]
    assert not len(misplaced), (
        f"fitted with the genes in another order, the columns of {', '.join(misplaced)} hold other genes; predict "
        "genes in the order of the training slides' var_names"
    )
    truth = slides.test.target
    own, other = (float(np.abs(subject.prediction - t).mean()) for t in (truth, truth[:, order]))
    assert own < other, "the predicted columns fit other genes better than their own, whatever the order of the genes"


def misplaced_columns(columns: Values, expected: Values) -> NDArray[np.bool_]:
    """Columns that are another expected column rather than their own, (genes,).

    Columns in another order are a permutation: each of them is one that is misplaced itself. A column that a short
    training has left near another gene's is not.
    """
    distance = np.abs(columns[:, :, None] - expected[:, None]).mean(0)  # (columns, expected)
    nearest = distance.argmin(1)
    apart = np.abs(expected - expected[:, nearest]).mean(0)
    # halfway to another gene: a swap goes all the way, a refit stays near
    misplaced = (distance.diagonal() - distance.min(1) > 0.5 * apart) & (apart > 0)
    for _ in nearest:  # what is left are whole cycles
        misplaced &= misplaced[nearest] & np.isin(np.arange(len(nearest)), nearest[misplaced])
    return np.asarray(misplaced)


@checks.add("what cannot beat the training mean where expression follows the colour has learnt nothing", needs=FIT)
def beats_mean(subject: ModelSubject) -> None:
    """On slides whose expression follows the stain, the squared error is below the training mean's."""
    if subject.control:
        raise DoesNotApply("the spec says control")
    slides = subject.slides
    mean = np.concatenate([s.target for s in slides.train]).mean(0)
    error = float(((subject.prediction - slides.test.target) ** 2).mean())
    baseline = float(((mean - slides.test.target) ** 2).mean())
    assert error < baseline, (
        f"mean squared error {error:.3g} on planted signal, the training mean has {baseline:.3g}; train longer in the "
        "preset smoke, or declare the spec a control"
    )


@checks.add("small studies have one section, and no validation to spare", needs=FIT)
def one_slide(subject: ModelSubject) -> None:
    """Fits on a single slide without validation."""
    train = subject.slides.train[:1]
    subject.predict(subject.fit(train, []), subject.slides.test, "a model of one slide without validation")


@checks.add("Visium arrays are hexagonal, ST arrays square", needs=FIT)
def hexagonal(subject: ModelSubject) -> None:
    """Fits and predicts slides on a hexagonal array."""
    slides = Slides.grown(subject.folder / "slides", "hex")
    subject.predict(subject.fit(slides.train, slides.validation), slides.test, "a hexagonal array")


@checks.add("--keep model and reproduction need what is loaded to be what was saved", needs=REPEATABLE)
def save_load(subject: ModelSubject) -> None:
    """A saved and loaded model predicts alike; files are safetensors and JSON."""
    model: Any = subject.base
    if not isinstance(model, Savable):
        raise DoesNotApply("the model offers no save and load")
    folder = subject.folder / "saved"
    folder.mkdir()
    model.save(folder)
    kept = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert kept, "save wrote nothing"
    foreign = [path.name for path in kept if path.suffix not in (".safetensors", ".json")]
    assert not foreign, f"save wrote {', '.join(foreign)}; keep to safetensors and JSON"
    worst = difference(subject.prediction, _loaded(subject, folder))
    assert worst <= SAME, f"predicts differently (by {worst:.2g}) after save and load"


@checks.add("cells that differ in predict-stage parameters alone are trained once", needs=(*REPEATABLE, "save_load"))
def predict_stage(subject: ModelSubject) -> None:
    """With another value of a predict-stage parameter, a saved fit predicts as a fit of its own does."""
    model: Any = subject.base
    names = subject.params_class.predict_stage()
    if not names or not isinstance(model, Savable):
        raise DoesNotApply("no parameter is marked PREDICT_STAGE, or the model offers no save and load")
    for name in sorted(names):
        folder = subject.folder / f"saved-for-{name}"
        folder.mkdir()
        model.save(folder)
        other = _another(subject.params, name)
        own = subject.make(params=other)
        own.fit(subject.slides.train, subject.slides.validation)
        worst = difference(_predicted(subject, own), _loaded(subject, folder, other))
        assert worst <= SAME, f"training depends on {name} (by {worst:.2g}), which is marked PREDICT_STAGE"


def _another(params: Params, name: str) -> Params:
    """The same parameters with one value changed to any other that is valid."""
    value = getattr(params, name)
    numbers = [value + 1, value * 4, value / 2] if isinstance(value, (int, float)) else []
    options = get_args(type(params).model_fields[name].annotation)
    for candidate in (*(o for o in options if o != value), *([not value] if isinstance(value, bool) else numbers)):
        try:
            return type(params).model_validate({**params.model_dump(), name: candidate})
        except ValidationError:
            continue
    raise DoesNotApply(f"no second value of {name} was found")


def _loaded(subject: ModelSubject, folder: Path, params: Params | None = None) -> Any:
    fresh: Any = subject.make(params=params)
    fresh.load(folder)
    return _predicted(subject, fresh)


def _predicted(subject: ModelSubject, fresh: Model[Any]) -> Any:
    test = subject.slides.test
    return whole(fresh.predict(test.without_expression()), (test.n_spots, test.adata.n_vars), "predict after load")
