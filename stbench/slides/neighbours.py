"""Which spots lie beside each other: hexagonal and Moore grids, k nearest, radius, and hops over them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stbench.errors import UsageError

Edges = NDArray[np.int64]

HEX_OFFSETS = ((0, -2), (0, 2), (-1, -1), (-1, 1), (1, -1), (1, 1))
MOORE_OFFSETS = tuple((r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0))
REACH = 2
"""Columns that an offset spans at most."""


def grid_edges(array_row: NDArray[np.int64], array_col: NDArray[np.int64], grid: Literal["hex", "square"]) -> Edges:
    """Directed edges between touching grid positions, from array coordinates (no ties, whatever the pixels say).

    Parameters
    ----------
    array_row, array_col
        Integer array coordinates, (n,). On a hexagonal grid horizontal neighbours are two columns apart.
    grid
        ``hex``: 6 neighbours; ``square``: the 8 of the Moore neighbourhood.

    Returns
    -------
    (2, edges) of row indices: source, target.
    """
    offsets = HEX_OFFSETS if grid == "hex" else MOORE_OFFSETS
    if not len(array_row):
        return _as_edges([])
    width = int(np.ptp(array_col)) + 2 * REACH + 1
    place = (array_row - array_row.min()) * width + (array_col - array_col.min())
    order = np.argsort(place, kind="stable")
    ranked = place[order]
    beside = np.full((len(place), len(offsets)), -1)
    for k, (rows, cols) in enumerate(offsets):
        wanted = place + rows * width + cols
        rank = np.searchsorted(ranked, wanted).clip(max=len(ranked) - 1)
        beside[:, k] = np.where(ranked[rank] == wanted, order[rank], -1)
    source, offset = np.nonzero(beside >= 0)
    return np.stack([source, beside[source, offset]])


def knn_edges(points: NDArray[np.float64], k: int) -> Edges:
    """Directed edges from each point to its `k` nearest others; ties go to the smaller coordinates.

    Parameters
    ----------
    points
        (n, d) coordinates.
    """
    from scipy.spatial import cKDTree

    n = len(points)
    if n < 2 or k < 1:
        return _as_edges([])
    order = np.lexsort(points.T[::-1])  # canonical order: ties cannot depend on the order of the spots
    tree = cKDTree(points[order])
    reach = min(n, k + 1)
    distance, _ = tree.query(points, k=reach)
    radius = np.atleast_2d(distance)[:, -1] * (1 + 1e-9)
    edges = []
    for i, ball in enumerate(tree.query_ball_point(points, radius, return_sorted=True)):
        candidates = order[np.asarray(ball)]
        candidates = candidates[candidates != i]
        gaps = np.linalg.norm(points[candidates] - points[i], axis=1).round(9)
        edges += [(i, int(j)) for j in candidates[np.argsort(gaps, kind="stable")][:k]]
    return _as_edges(edges)


def radius_edges(points: NDArray[np.float64], radius: float) -> Edges:
    """Directed edges between all points at most `radius` apart (same unit as the points)."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(points).query_pairs(radius, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return _as_edges(both[np.lexsort((both[:, 1], both[:, 0]))])


def hop_closure(edges: Edges, n: int, hops: int) -> Edges:
    """Edges between all spots at most `hops` steps apart, without self-loops."""
    if hops < 1:
        raise UsageError(f"hops must be 1 or more, not {hops}")
    from scipy.sparse import csr_array, eye_array

    step = csr_array((np.ones(edges.shape[1], bool), (edges[0], edges[1])), shape=(n, n))
    reached = csr_array(eye_array(n, dtype=bool))
    for _ in range(hops):
        reached = ((reached @ step) + reached).astype(bool)
    source, target = reached.nonzero()
    keep = source != target
    both = np.stack([source[keep], target[keep]])
    return both[:, np.lexsort((both[1], both[0]))].astype(np.int64)


def _as_edges(pairs: list[tuple[int, int]] | NDArray[np.int64]) -> Edges:
    return np.asarray(pairs, np.int64).reshape(-1, 2).T.copy()
