from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stbench.errors import UsageError
from stbench.models.array_index import array_index, n_positions
from stbench.slides import Slide
from stbench.testing import toy_slides


def at_positions(slide: Slide, row: Sequence[float], col: Sequence[float]) -> Slide:
    few = slide.subset(np.arange(len(row))).without_expression()
    few.adata.obs["array_row"], few.adata.obs["array_col"] = np.asarray(row), np.asarray(col)
    return few


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    return toy_slides(tmp_path)[0]


def test_fractional_positions_are_rounded_and_clipped_at_the_border(slide: Slide) -> None:
    index = array_index(at_positions(slide, [-0.6, 2.4, 7.6], [0.2, 3.7, 4.0]), n_positions=8)

    assert index.tolist() == [[0, 0], [2, 4], [7, 4]]


def test_there_are_embeddings_for_all_slides(slide: Slide) -> None:
    first, second = at_positions(slide, [0, 3], [127, 5]), at_positions(slide, [77, 1], [0, 0])

    assert n_positions([first]) == 128
    assert n_positions([second, first], at_least=64) == 128
    assert n_positions([second], at_least=100) == 100


def test_a_spot_beyond_the_training_slides_has_the_embedding_at_the_border(slide: Slide) -> None:
    said: list[str] = []

    index = array_index(at_positions(slide, [8.0, 3.0], [2.0, 127.0]), 8, said.append)

    assert index.tolist() == [[7, 2], [3, 7]]
    assert len(said) == 1
    assert said[0].startswith(f"{slide.info.id}: 2 spots lie on array positions up to 127, beyond the 8 ")


def test_within_the_table_nothing_is_said(slide: Slide) -> None:
    said: list[str] = []

    array_index(at_positions(slide, [7.0, 3.0], [2.0, 7.0]), 8, said.append)

    assert said == []


@pytest.mark.parametrize("row", [[-1.0, 3.0], [0.0, np.nan]])
def test_a_spot_without_a_position_is_an_error(row: list[float], slide: Slide) -> None:
    with pytest.raises(UsageError, match="missing or negative"):
        array_index(at_positions(slide, row, [0.0, 0.0]), n_positions=8)
    with pytest.raises(UsageError, match="missing or negative"):
        n_positions([at_positions(slide, row, [0.0, 0.0])])
