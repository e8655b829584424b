"""Neighbours come from array coordinates or distances, and never from the order of the spots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stbench.errors import UsageError
from stbench.slides.neighbours import grid_edges, hop_closure, knn_edges, radius_edges


def moore(rows: int, cols: int) -> np.ndarray:
    return np.stack([a.ravel() for a in np.mgrid[:rows, :cols]], axis=1)


def visium(rows: int, cols: int) -> np.ndarray:
    grid = moore(rows, cols)
    return np.column_stack([grid[:, 0], 2 * grid[:, 1] + grid[:, 0] % 2])


def as_points(edges: np.ndarray, points: np.ndarray) -> set[tuple]:
    return {(tuple(points[s]), tuple(points[t])) for s, t in edges.T}


@pytest.mark.parametrize(("make", "grid", "inner"), [(visium, "hex", 6), (moore, "square", 8)])
def test_inner_spots_have_all_neighbours_of_their_grid(make: callable, grid: str, inner: int) -> None:
    points = make(7, 9)

    edges = grid_edges(*points.T, grid)

    degree = np.bincount(edges[0], minlength=len(points)).reshape(7, 9)
    assert (degree[1:-1, 1:-1] == inner).all()
    assert degree.min() == {6: 2, 8: 3}[inner]
    assert edges.dtype == np.int64
    assert as_points(edges, points) == as_points(edges[::-1], points)  # both directions
    assert (edges[0] != edges[1]).all()


def test_hexagonal_neighbours_are_the_nearest_on_the_tissue() -> None:
    points = visium(6, 6)
    micrometres = points * [np.sqrt(3) / 2 * 100, 50]

    edges = grid_edges(*points.T, "hex")

    gaps = np.linalg.norm(micrometres[edges[0]] - micrometres[edges[1]], axis=1)
    assert gaps == pytest.approx(np.full(edges.shape[1], 100))
    assert as_points(edges, points) == as_points(radius_edges(micrometres, 101), points)


def test_negative_coordinates_and_gaps() -> None:
    points = np.array([[-1, -1], [0, 0], [5, 5]])

    assert grid_edges(*points.T, "square").T.tolist() == [[0, 1], [1, 0]]


grid_points = st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=30)


def slow_knn(points: np.ndarray, k: int) -> set[tuple]:
    """Slow reference: sort all others by distance, then by coordinates."""
    edges = set()
    for a in map(tuple, points):
        others = sorted((round(np.hypot(b[0] - a[0], b[1] - a[1]), 9), b) for b in map(tuple, points) if b != a)
        edges |= {(a, b) for _, b in others[:k]}
    return edges


@settings(deadline=None)
@given(grid_points, st.integers(1, 9), st.randoms(use_true_random=False))
def test_knn_breaks_ties_by_coordinates_whatever_the_order(places: set, k: int, random: object) -> None:
    shuffled = sorted(places)
    random.shuffle(shuffled)
    points = np.array(shuffled, float)

    edges = knn_edges(points, k)

    assert as_points(edges, points) == slow_knn(points, k)
    assert np.bincount(edges[0], minlength=len(points)).tolist() == [min(k, len(points) - 1)] * len(points)


@pytest.mark.parametrize("n", [0, 1])
def test_knn_of_too_few_points_is_empty(n: int) -> None:
    assert knn_edges(np.zeros((n, 2)), 4).shape == (2, 0)


@settings(deadline=None)
@given(grid_points, st.sampled_from([0.5, 1.0, 1.5, 2.3, 20.0]))
def test_radius_edges_are_all_pairs_within(places: set, radius: float) -> None:
    points = np.array(sorted(places), float)

    edges = radius_edges(points, radius)

    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert edges.T.tolist() == np.argwhere(gaps <= radius).tolist()


def breadth_first(edges: np.ndarray, n: int, hops: int) -> list[list[int]]:
    """Slow reference: all spots reached from each in 1 to `hops` steps."""
    found = []
    for start in range(n):
        seen, frontier = {start}, {start}
        for _ in range(hops):
            frontier = {int(t) for s, t in edges.T if s in frontier} - seen
            seen |= frontier
        found += [[start, other] for other in sorted(seen - {start})]
    return found


@settings(deadline=None, max_examples=50)
@given(grid_points, st.integers(1, 4))
def test_hop_closure_is_breadth_first_search(places: set, hops: int) -> None:
    points = np.array(sorted(places))
    edges = grid_edges(*points.T, "square")
    directed = edges[:, edges[0] < edges[1]]

    assert hop_closure(edges, len(points), hops).T.tolist() == breadth_first(edges, len(points), hops)
    assert hop_closure(directed, len(points), hops).T.tolist() == breadth_first(directed, len(points), hops)


def test_no_hops_is_refused() -> None:
    with pytest.raises(UsageError, match="hops must be 1 or more, not 0"):
        hop_closure(np.zeros((2, 0), np.int64), 3, 0)
