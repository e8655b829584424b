"""From long rows to a matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indexes = NDArray[np.integer]


def pivot(
    row: Indexes, column: Indexes, values: NDArray[np.floating], shape: tuple[int, int], empty: float = 0.0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Matrix of long rows, and which of its entries had one.

    Parameters
    ----------
    row, column, values
        (n,); missing values (NaN) are kept as they are.
    empty
        Value of entries without a row.
    """
    matrix = np.full(shape, empty, np.float32)
    given = np.zeros(shape, bool)
    matrix[row, column] = values
    given[row, column] = True
    return matrix, given
