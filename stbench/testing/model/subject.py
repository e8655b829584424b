"""A model under check: fitted on small slides, watched, each fit done once and shared by the checks."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stbench.errors import UsageError
from stbench.models.contract import Context, Model, Params
from stbench.registry import ModelSpec
from stbench.slides import Slide
from stbench.testing.content import changed, content
from stbench.testing.model.prediction import Values, whole
from stbench.testing.slides import toy_slides
from stbench.testing.watch import Seen, watching

SMOKE = "smoke"
SPOTS = 64
GENES = 8
LIMIT_S = 60.0


@dataclass(frozen=True)
class Slides:
    """Sections of five patients: three to train on, one to validate, one to test."""

    train: list[Slide]
    validation: list[Slide]
    test: Slide

    @classmethod
    def grown(cls, folder: Path, grid: typing.Literal["hex", "square"] = "square") -> Slides:
        """Grow them; the same folder gives the same slides in any process."""
        *train, validation, test = toy_slides(folder, patients=5, spots=SPOTS, genes=GENES, grid=grid)
        return cls(train, [validation], test)


class ModelSubject:
    """A model's spec, or its class and parameters, and what the checks have made of it so far.

    Parameters
    ----------
    spec, model_class
        One of them; a class may be given parameters.
    params
        By default the preset ``smoke`` of a spec, else the defaults of its ``Params``.
    limit_s
        Seconds that one fit and prediction on small slides may take.

    plugin_modules
        Modules of the entry points that registered the spec.

    Attributes
    ----------
    seen
        What `base` did outside of its business while it was fitted and while it predicted.
    seen_again
        The same of `twin`: by then everything it needs has been imported.
    """

    def __init__(
        self,
        subject: ModelSpec | type[Model[Any]],
        params: Params | None = None,
        limit_s: float = LIMIT_S,
        plugin_modules: Sequence[str] = (),
    ) -> None:
        self.spec = subject if isinstance(subject, ModelSpec) else None
        self._given_class = None if isinstance(subject, ModelSpec) else subject
        self._given_params = params
        self.limit_s = limit_s
        self.plugin_modules = tuple(plugin_modules)
        self._attempts = 0
        self.seen = Seen()
        self.seen_again = Seen()
        self.seconds = 0.0

    @cached_property
    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="stbench-check-")

    @property
    def folder(self) -> Path:
        """Scratch folder, removed with the subject."""
        return Path(self._scratch.name)

    @property
    def cache(self) -> Path:
        """The shared cache that the slides and the model use."""
        return self.folder / "slides" / "cache"

    @cached_property
    def model_class(self) -> type[Model[Any]]:
        """The model's class."""
        found: Any = self.spec.load() if self.spec else self._given_class
        return found  # type: ignore[no-any-return]

    @cached_property
    def params_class(self) -> type[Params]:
        """The class of its parameters: the spec's, else the one that the model class names as ``Model[…]``."""
        if self.spec:
            found: type[Params] = self.spec.load_params()
            return found
        if self._given_params is not None:
            return type(self._given_params)
        for base in (b for c in self.model_class.__mro__ for b in getattr(c, "__orig_bases__", ())):
            for argument in typing.get_args(base):
                if isinstance(argument, type) and issubclass(argument, Params):
                    return argument
        raise UsageError(f"{self.model_class.__name__}: say which parameters to check it with, params=…")

    @cached_property
    def params(self) -> Params:
        """Parameters it is checked with."""
        if self._given_params is not None:
            return self._given_params
        smoke = self.spec.presets.get(SMOKE, {}) if self.spec else {}
        return self.params_class.model_validate(smoke)

    @property
    def importable(self) -> tuple[str, str] | None:
        """Import strings of the model and its parameters; None for classes that only this process knows."""
        found = []
        for cls in (self.model_class, self.params_class):
            if cls.__module__ == "__main__" or getattr(sys.modules.get(cls.__module__), cls.__name__, None) is not cls:
                return None
            try:
                known = importlib.util.find_spec(cls.__module__)
            except (ImportError, ValueError):  # a module that was loaded from a file without a name
                known = None
            if known is None:
                return None
            found.append(f"{cls.__module__}:{cls.__name__}")
        return found[0], found[1]

    @property
    def deterministic(self) -> bool:
        """Whether the seed is declared to change nothing."""
        return bool(self.spec and self.spec.deterministic)

    @property
    def control(self) -> bool:
        """Whether it is declared to be a control, not a method."""
        return bool(self.spec and self.spec.control)

    @cached_property
    def slides(self) -> Slides:
        """The slides most checks use."""
        return Slides.grown(self.folder / "slides")

    @cached_property
    def base(self) -> Model[Any]:
        """The model fitted on `slides`."""
        return self.fit(self.slides.train, self.slides.validation, seen=self.seen)

    @cached_property
    def twin(self) -> Model[Any]:
        """The model fitted once more, with the same seed; with another one if the seed is said to change nothing."""
        seed = 1 if self.deterministic else 0
        return self.fit(self.slides.train, self.slides.validation, seed, seen=self.seen_again)

    @cached_property
    def prediction(self) -> Values:
        """What `base` predicts for the test slide."""
        return self.predict(self.base, self.slides.test, "a test slide", seen=self.seen)

    def make(self, seed: int = 0, params: Params | None = None) -> Model[Any]:
        """Make an unfitted model in a work folder of its own, by default with `params`."""
        self._attempts += 1
        work_dir = self.folder / "work" / str(self._attempts)
        work_dir.mkdir(parents=True)
        context = Context(seed=seed, device="cpu", work_dir=work_dir, cache_dir=self.cache)
        return self.model_class(params or self.params, context)

    def fit(
        self, train: Sequence[Slide], validation: Sequence[Slide], seed: int = 0, seen: Seen | None = None
    ) -> Model[Any]:
        """Make a model and fit it, watched."""
        seen = seen or Seen()
        model_class = self.model_class  # imported before anything is watched
        # copies: what one fit may do to its slides does not reach the next
        train, validation = ([slide.with_adata(slide.adata.copy()) for slide in some] for some in (train, validation))
        before = [content(slide) for slide in (*train, *validation)]
        model = self.make(seed)
        assert isinstance(model, Model), f"{model_class.__name__} is not a stbench.models.Model"
        with watching(seen, [model.context.work_dir, self.cache]):
            model.fit(train, validation)
        for slide, old in zip((*train, *validation), before, strict=True):
            seen.modified += [f"{what} of slide {slide.info.id}" for what in changed(old, content(slide))]
        return model

    def predict(self, model: Model[Any], slide: Slide, what: str, seen: Seen | None = None) -> Values:
        """Predict a slide as the harness has it done, without expression."""
        seen = seen or Seen()
        unseen = slide.without_expression()
        before = content(unseen)
        with watching(seen, [model.context.work_dir, self.cache]):
            values = whole(model.predict(unseen), (slide.n_spots, GENES), f"predict of {what}")
        seen.modified += [f"{what} of the slide to predict" for what in changed(before, content(unseen))]
        return np.array(values)
