"""The controls that stand in every table: train mean and array position."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from stbench.errors import DataError
from stbench.models.mean import Mean, MeanParams
from stbench.models.position import Position, PositionParams
from stbench.slides import Slide
from stbench.testing import context, toy_slides


def without_image(slide: Slide) -> Slide:
    return Slide(slide.adata, slide.info)


@pytest.fixture
def slides(tmp_path: Path) -> list[Slide]:
    first, second, third = toy_slides(tmp_path, patients=3, spots=25)
    return [first, second.subset(np.arange(10)), third]


def test_every_spot_gets_the_mean_over_training_spots(slides: list[Slide], tmp_path: Path) -> None:
    *train, test = slides
    model = Mean(MeanParams(), context(tmp_path))

    model.fit(train, [test])
    prediction = model.predict(without_image(test).without_expression())

    mean = np.concatenate([train[0].target, train[1].target]).astype(float).mean(0)  # 25 and 10 spots
    np.testing.assert_allclose(prediction, np.tile(mean, (25, 1)), rtol=1e-6)
    assert prediction.dtype == np.float32
    assert (prediction == prediction[0]).all()


@pytest.mark.parametrize("k", [1, 3, 10, 1000])
def test_position_averages_the_nearest_training_spots(slides: list[Slide], tmp_path: Path, k: int) -> None:
    *train, test = slides
    rng = np.random.default_rng(0)
    for slide in slides:  # no ties: fractional positions
        slide.adata.obs[["array_row", "array_col"]] = slide.array_positions + rng.uniform(0, 0.4, (slide.n_spots, 2))
    model = Position(PositionParams(k=k), context(tmp_path))

    model.fit(train, [])
    prediction = model.predict(without_image(test).without_expression())

    positions = np.concatenate([s.array_positions for s in train])
    targets = np.concatenate([s.target for s in train])
    for spot, place in enumerate(test.array_positions):  # slow reference
        nearest = np.argsort(np.hypot(*(positions - place).T))[:k]
        np.testing.assert_allclose(prediction[spot], targets[nearest].mean(0), rtol=1e-5)


def test_neither_looks_at_validation(slides: list[Slide], tmp_path: Path) -> None:
    first, second, third = slides
    for model_class, params in ((Mean, MeanParams()), (Position, PositionParams())):
        alone, beside = (model_class(params, context(tmp_path)) for _ in range(2))
        alone.fit([first], [])
        beside.fit([first], [second])
        np.testing.assert_array_equal(alone.predict(third), beside.predict(third))


def test_parameters_are_checked() -> None:
    with pytest.raises(ValidationError):
        PositionParams(k=0)
    with pytest.raises(ValidationError, match="Extra inputs"):
        MeanParams(k=1)
    with pytest.raises(ValidationError, match="frozen"):
        PositionParams().k = 3  # type: ignore[misc]


def test_a_seed_changes_nothing(slides: list[Slide], tmp_path: Path) -> None:
    predictions = []
    for seed in (0, 1):
        model = Position(PositionParams(), replace(context(tmp_path), seed=seed))
        model.fit(slides[:2], [])
        predictions.append(model.predict(slides[2]))

    np.testing.assert_array_equal(*predictions)


@pytest.mark.parametrize(("model_class", "params"), [(Mean, MeanParams()), (Position, PositionParams(k=3))])
def test_what_was_saved_predicts_alike(model_class: Any, params: Any, slides: list[Slide], tmp_path: Path) -> None:
    fitted, loaded = (model_class(params, context(tmp_path)) for _ in range(2))
    fitted.fit(slides[:2], [])
    fitted.save(tmp_path)

    loaded.load(tmp_path)

    np.testing.assert_array_equal(loaded.predict(slides[2]), fitted.predict(slides[2]))


def test_a_damaged_file_is_said(slides: list[Slide], tmp_path: Path) -> None:
    (tmp_path / "mean.safetensors").write_bytes(b"no arrays at all")

    with pytest.raises(DataError, match=r"mean.safetensors is damaged .* run the cell again with --fresh"):
        Mean(MeanParams(), context(tmp_path)).load(tmp_path)
