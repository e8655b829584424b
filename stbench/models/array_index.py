"""Array rows and columns as indexes of position embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.errors import UsageError
from stbench.slides import Slide


def array_index(slide: Slide, n_positions: int) -> NDArray[np.int64]:
    """Row and column of each spot's position embeddings, (spots, 2).

    Points between the spots (`Slide.at`) have fractional array positions. They are rounded; the outermost,
    which may round to one position beyond the array, are clipped.

    Parameters
    ----------
    n_positions
        Embeddings there are, for rows and for columns; the parameter that the error tells to raise.

    Raises
    ------
    UsageError
        If a spot has no array position, or the array has more rows or columns than there are embeddings.
    """
    position = slide.array_positions  # (spots, 2)
    index = position.round()
    beyond = 1 if (index != position).any() else 0
    if not (index >= -beyond).all():  # NaN is not either
        raise UsageError(
            f"slide {slide.info.id} has spots whose array position is missing or negative; the model embeds "
            "rows and columns, which count from 0"
        )
    highest = index.max()
    if highest >= n_positions + beyond:
        raise UsageError(
            f"slide {slide.info.id} has array positions up to {highest:g}, the model embeds 0 to "
            f"{n_positions - 1}; train it with --set n_positions={highest + 1:g}"
        )
    return index.clip(0, n_positions - 1).astype(np.int64)
