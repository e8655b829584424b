"""A large slide is asked for in blocks of a model that can be asked so, and of no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from stbench.errors import PredictionError
from stbench.execution import blocks
from stbench.execution.predicted import gather
from stbench.models import Model, Params
from stbench.slides import Slide
from stbench.slides import slide as slides
from stbench.testing import toy_slides
from stbench.testing.slides import context


class Red(Model[Params]):
    """Mean red of each spot's patch; notes how many spots it was asked for."""

    pointwise: ClassVar[bool] = True

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        self.asked: list[int] = []

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        self.asked.append(slide.n_spots)
        return slide.patches(pixels=8, microns=40.0)[..., 0].mean((1, 2), dtype=np.float32)[:, None]


class Jointly(Red):
    pointwise: ClassVar[bool] = False


class InBlocks(Red):
    def predict(self, slide: Slide) -> object:  # type: ignore[override]
        return iter([(slice(0, slide.n_spots), super().predict(slide), None)])


@pytest.fixture
def slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slide:
    monkeypatch.setattr(slides, "LARGE", 20)
    monkeypatch.setattr(blocks, "SPOTS_PER_BLOCK", 16)
    return toy_slides(tmp_path, patients=1, spots=40)[0].subset(np.arange(0, 40)[::-1])


def fitted(kind: type[Red], folder: Path) -> Red:
    model = kind(Params(), context(folder))
    model.fit((), ())
    return model


def test_blocks_are_what_the_whole_slide_is(slide: Slide, tmp_path: Path) -> None:
    model, whole = fitted(Red, tmp_path), fitted(Jointly, tmp_path)

    predicted = gather(blocks.predict(model, slide), slide, 1, tmp_path / "blocks")

    assert model.asked == [16, 16, 8]
    np.testing.assert_array_equal(predicted.mean, blocks.predict(whole, slide))
    assert whole.asked == [40]


def test_patches_of_blocks_do_not_stay_in_the_cache(slide: Slide, tmp_path: Path) -> None:
    model = fitted(Red, tmp_path)

    list(blocks.predict(model, slide))

    assert not list((tmp_path / "cache").rglob("patches/*/*.npy"))


def test_a_small_slide_is_asked_for_at_once(slide: Slide, tmp_path: Path) -> None:
    model = fitted(Red, tmp_path)

    blocks.predict(model, slide.subset(np.arange(19)))

    assert model.asked == [19]


def test_a_pointwise_model_that_gives_blocks_is_told(slide: Slide, tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="pointwise returns an array, not list_iterator"):
        list(blocks.predict(fitted(InBlocks, tmp_path), slide))
