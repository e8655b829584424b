"""Array rows and columns as indexes of position embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stbench.errors import UsageError
from stbench.models.contract import silent
from stbench.slides import Slide


def n_positions(slides: Sequence[Slide], at_least: int = 1) -> int:
    """Embeddings of rows, and of columns, that the spots of some slides need.

    Raises
    ------
    UsageError
        If a spot has no array position.
    """
    return max([at_least, *(int(_position(slide).max()) + 1 for slide in slides)])


def array_index(slide: Slide, n_positions: int, report: Callable[[str], None] = silent) -> NDArray[np.int64]:
    """Row and column of each spot's position embeddings, (spots, 2).

    Points between the spots (`Slide.at`) have fractional array positions, which are rounded. What lies outside the
    table has the embedding at its border: a test slide may reach beyond all training slides, and an embedding that
    nothing trained would be noise.

    Parameters
    ----------
    n_positions
        Embeddings there are, for rows and for columns.
    report
        Told how many spots lie beyond the table.

    Raises
    ------
    UsageError
        If a spot has no array position.
    """
    index = _position(slide)
    beyond = int((index >= n_positions).any(1).sum())
    if beyond:
        report(
            f"{slide.info.id}: {beyond} spots lie on array positions up to {index.max()}, beyond the {n_positions} of "
            "the training slides; they have the position embedding at the border"
        )
    return index.clip(0, n_positions - 1)


def _position(slide: Slide) -> NDArray[np.int64]:
    position = slide.array_positions  # (spots, 2)
    index = position.round()
    least = -1 if (index != position).any() else 0  # points around the outermost spots
    if not (index >= least).all():  # NaN is not either
        raise UsageError(
            f"slide {slide.info.id} has spots whose array position is missing or negative; the model embeds "
            "rows and columns, which count from 0"
        )
    return index.astype(np.int64)
