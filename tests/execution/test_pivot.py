from __future__ import annotations

import numpy as np

from stbench.execution.pivot import pivot


def test_rows_in_any_order_become_a_matrix() -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(7, 5)).astype(np.float32)
    row, column = (axis.ravel() for axis in np.indices(whole.shape))
    order = rng.permutation(whole.size)

    matrix, given = pivot(row[order], column[order], whole.ravel()[order], whole.shape)

    np.testing.assert_array_equal(matrix, whole)
    assert given.all()


def test_entries_without_a_row_are_empty() -> None:
    matrix, given = pivot(np.array([0, 1]), np.array([1, 0]), np.array([2.0, 3.0]), (2, 2), empty=-1.0)

    np.testing.assert_array_equal(matrix, [[-1, 2], [3, -1]])
    np.testing.assert_array_equal(given, [[False, True], [True, False]])
