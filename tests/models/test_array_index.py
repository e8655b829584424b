from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stbench.errors import UsageError
from stbench.models.array_index import array_index
from stbench.slides import Slide
from stbench.testing import toy_slides


def at_positions(slide: Slide, row: Sequence[float], col: Sequence[float]) -> Slide:
    few = slide.subset(np.arange(len(row))).without_expression()
    few.adata.obs["array_row"], few.adata.obs["array_col"] = np.asarray(row), np.asarray(col)
    return few


def test_fractional_positions_are_rounded_and_clipped_at_the_border(tmp_path: Path) -> None:
    slide = toy_slides(tmp_path)[0]

    index = array_index(at_positions(slide, [-0.6, 2.4, 7.6], [0.2, 3.7, 4.0]), n_positions=8)

    assert index.tolist() == [[0, 0], [2, 4], [7, 4]]


@pytest.mark.parametrize(
    ("row", "needed"),
    [([0.0, 8.0], 9), ([0.5, 11.2], 12), ([-1.0, 3.0], None), ([0.0, np.nan], None)],
)
def test_positions_without_an_embedding_are_an_error(row: list[float], needed: int | None, tmp_path: Path) -> None:
    slide = toy_slides(tmp_path)[0]
    remedy = f"--set n_positions={needed}" if needed else "missing or negative"

    with pytest.raises(UsageError, match=remedy):
        array_index(at_positions(slide, row, [0.0, 0.0]), n_positions=8)
