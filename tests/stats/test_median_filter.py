"""The adaptive median filter against its definition, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stbench.errors import DataError
from stbench.slides.neighbours import grid_edges, hop_closure
from stbench.stats.median_filter import adaptive_median, hops, rings


def slow(values: np.ndarray, windows: list[np.ndarray]) -> np.ndarray:
    """Slow reference: `windows` are boolean (spots, spots), the spot itself inside."""
    out = values.copy()
    for i, g in zip(*np.nonzero(values == 0), strict=True):
        for window in windows:
            median = np.median(values[window[i], g])
            if median != 0:
                out[i, g] = median
                break
        else:
            found = values[values[:, g] != 0, g]
            out[i, g] = np.median(found) if len(found) else 0
    return out


def disks(positions: np.ndarray, n_windows: int) -> list[np.ndarray]:
    """SEPAL's rings: the smallest different distances of the whole slide."""
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=2).astype(np.float32)
    return [distance <= radius for radius in np.unique(distance[distance > 0])[:n_windows]]


def hexagonal(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    row, nth = np.divmod(np.arange(n), max(1, int(np.sqrt(n))))
    kept = np.random.default_rng(seed).random(n) > 0.15  # tissue has holes
    return row[kept], (2 * nth + row % 2)[kept]


def sparse_map(n: int, genes: int, seed: int) -> np.ndarray:
    """Log counts with most entries 0; the first gene has none at all, the second a single one."""
    rng = np.random.default_rng(seed)
    values = np.log2(1 + rng.poisson(rng.gamma(0.7, 1, (n, genes)))).astype(np.float32)
    values[:, 0] = 0
    values[1:, 1] = 0
    return values


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 70), seed=st.integers(0, 10**6), n_windows=st.integers(1, 7))
def test_rings_against_the_definition(n: int, seed: int, n_windows: int) -> None:
    row, col = hexagonal(n, seed)
    positions = np.column_stack([row, col]).astype(float)
    values = sparse_map(len(row), 5, seed)

    filled = adaptive_median(values, rings(positions, n_windows))

    np.testing.assert_array_equal(filled, slow(values, disks(positions, n_windows)))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 70), seed=st.integers(0, 10**6), n_windows=st.integers(1, 5))
def test_hops_against_the_definition(n: int, seed: int, n_windows: int) -> None:
    row, col = hexagonal(n, seed)
    edges = grid_edges(row, col, "hex")
    values = sparse_map(len(row), 5, seed)
    windows = []
    for k in range(1, n_windows + 1):
        within = np.eye(len(row), dtype=bool)
        if edges.shape[1]:
            within[tuple(hop_closure(edges, len(row), k))] = True
        windows.append(within)

    filled = adaptive_median(values, hops(edges, len(row), n_windows))

    np.testing.assert_array_equal(filled, slow(values, windows))


def test_zeros_that_no_window_fills_get_the_genes_own_median() -> None:
    positions = np.column_stack([np.arange(30), np.zeros(30)]).astype(float)
    values = np.zeros((30, 2), np.float32)
    values[[0, 29], 0] = 3, 5

    filled = adaptive_median(values, rings(positions, 2))

    assert filled[:, 0].tolist() == [3.0, *[4.0] * 28, 5.0]
    assert (filled[:, 1] == 0).all()


def test_negative_values_are_refused() -> None:
    with pytest.raises(DataError, match="values of 0 and more"):
        adaptive_median(np.array([[-1.0], [0.0]]), rings(np.eye(2), 1))


def test_against_spared() -> None:
    denoising = pytest.importorskip("spared.denoising.denoising", reason="benchmarks/speed says how to install spared")
    import anndata as ad

    row, col = hexagonal(120, 0)
    values = sparse_map(len(row), 8, 0)
    adata = ad.AnnData(values, layers={"log": values})
    adata.obs["array_row"], adata.obs["array_col"] = row, col
    adata.obsm["spatial"] = np.column_stack([50.0 * col, 86.6 * row])
    near = denoising.get_spatial_neighbors(adata, 1, True)  # {spot: itself and its neighbours}
    edges = np.array([(i, j) for i, spots in near.items() for j in spots if i != j]).T

    theirs = denoising.adaptive_median_filter_pepper(adata, "log", "filled", 5, True).layers["filled"]

    np.testing.assert_array_equal(adaptive_median(values, hops(edges, len(row), 5)), theirs)
