"""The contract of `stbench.models.Model` as a check that plugin authors call in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import PredictionError
from stbench.models.contract import Context, Model, Params, Prediction, Savable
from stbench.slides import Slide
from stbench.testing.slides import context as toy_context
from stbench.testing.slides import toy_slides

Values = NDArray[np.float32]


def check_model(
    model_class: Callable[[Any, Context], Model[Any]],
    params: Params,
    folder: Path,
    *,
    slides: Sequence[Slide] | None = None,
    context: Context | None = None,
    same_seed_same_prediction: bool = True,
    rtol: float = 1e-5,
) -> None:
    """Fit, predict, save and load a model on small slides, and hold it to its contract.

    Parameters
    ----------
    model_class
        Called with `params` and a `Context`.
    params
        Make it small: the model is fitted three times.
    folder
        An empty folder, pytest's ``tmp_path``.
    slides
        At least three, the last two for validation and test; `toy_slides` by default.
    context
        Seed and device; a CPU context in `folder` by default.
    same_seed_same_prediction
        Whether two fits with one seed must predict the same.
    rtol
        Relative tolerance (of the largest value) of "the same".

    Raises
    ------
    PredictionError
        A prediction of the wrong shape or type, or with values that are not finite.
    AssertionError
        Any other breach; the message says which.
    """
    *train, validation, test = toy_slides(folder, patients=4) if slides is None else slides
    if not train:
        raise ValueError("check_model needs at least three slides: training, validation and test")
    subject = _Subject(model_class, params, folder, context or toy_context(folder), train, rtol)
    unseen = test.without_expression()

    model = _fit_modifies_nothing(subject, validation)
    prediction = subject.predict(model, unseen, "on a test slide")
    subject.require_same(
        prediction,
        subject.predict(model, unseen, "on the same test slide again"),
        "predicts the same slide differently the second time",
    )
    subject.predict(model, unseen.subset(np.arange(0, unseen.n_spots, 3)), "on a subset of the spots")
    subject.predict(subject.fit([], "without-validation"), unseen, "fitted without validation slides")
    if same_seed_same_prediction:
        subject.require_same(
            prediction,
            subject.predict(subject.fit([validation], "twin"), unseen, "fitted a second time"),
            f"predicts differently when fitted twice with seed {subject.context.seed}",
        )
    if isinstance(model, Savable):
        subject.require_same(
            prediction,
            subject.predict(_saved_and_loaded(subject, model), unseen, "after load"),
            "predicts differently after save and load",
        )


@dataclass(frozen=True)
class _Subject:
    """The model under check."""

    model_class: Callable[[Any, Context], Model[Any]]
    params: Params
    folder: Path
    context: Context
    train: list[Slide]
    rtol: float

    @property
    def name(self) -> str:
        return getattr(self.model_class, "__name__", repr(self.model_class))

    def make(self, attempt: str) -> Model[Any]:
        work_dir = self.folder / f"work-{attempt}"
        work_dir.mkdir(parents=True)
        return self.model_class(self.params, replace(self.context, work_dir=work_dir))

    def fit(self, validation: list[Slide], attempt: str) -> Model[Any]:
        model = self.make(attempt)
        model.fit(list(self.train), validation)
        return model

    def predict(self, model: Model[Any], slide: Slide, when: str) -> Values:
        shape = (slide.n_spots, self.train[0].adata.n_vars)
        return _whole(model.predict(slide), shape, f"{self.name} {when}")

    def require_same(self, first: Values, second: Values, otherwise: str) -> None:
        tolerance = self.rtol * max(1.0, float(np.abs(first).max()))
        assert np.allclose(first, second, rtol=0, atol=tolerance), f"{self.name} {otherwise}"


def _fit_modifies_nothing(subject: _Subject, validation: Slide) -> Model[Any]:
    given = (*subject.train, validation)
    before = [_content(slide) for slide in given]
    model = subject.fit([validation], "first")
    for slide, old in zip(given, before, strict=True):
        new = _content(slide)
        changed = [what for what in old | new if not _equal(old.get(what), new.get(what))]
        assert not changed, f"{subject.name}.fit modified {', '.join(changed)} of slide {slide.info.id}; work on a copy"
    return model


def _saved_and_loaded(subject: _Subject, model: Savable) -> Model[Any]:
    folder = subject.folder / "saved"
    folder.mkdir()
    model.save(folder)
    kept = sorted(path for path in folder.rglob("*") if path.is_file())
    assert kept, f"{subject.name}.save wrote nothing"
    foreign = [path.name for path in kept if path.suffix not in (".safetensors", ".json")]
    assert not foreign, f"{subject.name}.save wrote {', '.join(foreign)}; keep to safetensors and JSON"
    fresh: Any = subject.make("loaded")
    fresh.load(folder)
    loaded: Model[Any] = fresh
    return loaded


def _whole(prediction: Prediction, shape: tuple[int, int], who: str) -> Values:
    """Check a prediction, put together from its blocks if it comes in blocks."""
    if not isinstance(prediction, Iterator):
        _check(prediction, shape, who)
        return prediction
    means = [np.empty((0, shape[1]), np.float32)]
    done = 0
    for spots, mean, std in prediction:
        block = f"spots {spots.start}–{spots.stop}"
        if spots.start != done:
            raise PredictionError(f"{who} gives {block} after spot {done}; keep the order and leave none out")
        for values in (mean,) if std is None else (mean, std):
            _check(values, (spots.stop - spots.start, shape[1]), f"{who}, {block},")
        means.append(mean)
        done = spots.stop
    whole = np.concatenate(means)
    _check(whole, shape, who)
    return whole


def _check(values: object, shape: tuple[int, int], who: str) -> None:
    if not isinstance(values, np.ndarray):
        kind = type(values).__name__
        raise PredictionError(f"{who} predicts a {kind}; return a numpy array or an iterator of blocks")
    if values.shape != shape:
        raise PredictionError(f"{who} predicts shape {values.shape}; (spots, genes) is {shape}")
    if values.dtype != np.float32:
        raise PredictionError(f"{who} predicts {values.dtype}; return float32")
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise PredictionError(f"{who} predicts {bad} values that are not finite")


def _content(slide: Slide) -> dict[str, Any]:
    """Copies of everything a training slide carries, by where it is."""
    adata = slide.adata
    content = {"X": _dense(adata.X), "obs": adata.obs.copy(), "var": adata.var.copy()}
    content |= {f'layers["{key}"]': _dense(layer) for key, layer in adata.layers.items()}
    content |= {f'obsm["{key}"]': _dense(values) for key, values in adata.obsm.items()}
    content |= {f'uns["{key}"]': True for key in adata.uns}
    if adata.raw is not None:
        content["raw"] = _dense(adata.raw.X)
    return content


def _dense(values: Any) -> NDArray[Any]:
    return np.array(values.toarray() if hasattr(values, "toarray") else values)


def _equal(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return False
    return bool(old.equals(new)) if hasattr(old, "equals") else np.array_equal(old, new)
