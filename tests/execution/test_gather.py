from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stbench.errors import PredictionError
from stbench.execution.predicted import gather
from stbench.slides import Slide
from stbench.testing import toy_slides

SPOTS, GENES = 10, 3
GOOD = np.arange(SPOTS * GENES, dtype=np.float32).reshape(SPOTS, GENES)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    return toy_slides(tmp_path_factory.mktemp("toy"), patients=1, spots=SPOTS, genes=GENES)[0]


def with_value(value: float) -> np.ndarray:
    values = GOOD.copy()
    values[4, 1] = value
    return values


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64])
def test_numbers_of_any_width_are_taken(dtype: type, slide: Slide, tmp_path: Path) -> None:
    predicted = gather(GOOD.astype(dtype), slide, GENES, tmp_path / "work")

    assert predicted.mean.dtype == np.float32
    assert predicted.std is None
    np.testing.assert_array_equal(predicted.mean, GOOD)


@pytest.mark.parametrize(
    ("prediction", "sentence"),
    [
        (GOOD[1:], r"has shape \(9, 3\), not \(10, 3\) \(spots, genes\)"),
        (GOOD.T, r"has shape \(3, 10\)"),
        (GOOD[:, :2], r"has shape \(10, 2\)"),
        (GOOD.ravel(), r"has shape \(30,\)"),
        (with_value(np.nan), "1 of 30 predicted values are NaN or infinite"),
        (with_value(np.inf), "1 of 30 predicted values are NaN or infinite"),
        (GOOD.astype(np.float64) * 1e300, "predicted values are NaN or infinite"),
        (GOOD.astype(str), "holds <U32, not numbers"),
        (GOOD.astype(object), "holds object, not numbers"),
        (GOOD.astype(complex), "holds complex128, not numbers"),
        (GOOD > 3, "holds bool, not numbers"),
        (GOOD.tolist(), "predict returned list; return a numpy array"),
        (None, "predict returned NoneType"),
    ],
)
def test_a_wrong_prediction_is_refused_with_the_slide(
    prediction: Any, sentence: str, slide: Slide, tmp_path: Path
) -> None:
    with pytest.raises(PredictionError, match=sentence):
        gather(prediction, slide, GENES, tmp_path / "work")


def blocks(*ranges: tuple[int, int], std: bool = False) -> Iterator[Any]:
    for start, stop in ranges:
        yield slice(start, stop), GOOD[start:stop], np.ones_like(GOOD[start:stop]) if std else None


def test_blocks_are_put_together(slide: Slide, tmp_path: Path) -> None:
    predicted = gather(blocks((0, 4), (4, 9), (9, 10), std=True), slide, GENES, tmp_path / "work")

    np.testing.assert_array_equal(predicted.mean, GOOD)
    np.testing.assert_array_equal(predicted.std, np.ones_like(GOOD))


def test_blocks_need_no_standard_deviation(slide: Slide, tmp_path: Path) -> None:
    assert gather(blocks((0, 10)), slide, GENES, tmp_path / "work").std is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (blocks((0, 4), (5, 10)), "a block starts at spot 5, not at 4"),
        (blocks((0, 4), (3, 10)), "a block starts at spot 3, not at 4"),
        (blocks((4, 10), (0, 4)), "a block starts at spot 4, not at 0"),
        (blocks((0, 4)), "blocks end at spot 4 of 10"),
        (blocks(), "blocks end at spot 0 of 10"),
        (iter([(slice(0, 12), np.zeros((12, 3)), None)]), "spot 12 of 10"),
        (iter([(slice(0, 10), GOOD[:5], None)]), r"has shape \(5, 3\), not \(10, 3\)"),
        (iter([(slice(0, 10), with_value(np.nan), None)]), "NaN or infinite"),
        (iter([(slice(0, 10), GOOD, with_value(np.nan))]), "NaN or infinite"),
        (iter([GOOD]), "a block is .*slice"),
    ],
)
def test_blocks_that_do_not_tile_the_slide_are_refused(
    given: Iterator[Any], sentence: str, slide: Slide, tmp_path: Path
) -> None:
    with pytest.raises(PredictionError, match=sentence):
        gather(given, slide, GENES, tmp_path / "work")
