"""Moran's I against its textbook sum, and against scanpy's on the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from stbench.slides.neighbours import grid_edges
from stbench.stats import morans_i


def double_loop(values: np.ndarray, edges: np.ndarray) -> float:
    """Slow reference: I = (N/ΣW)·Σ w_ij z_i z_j / Σ z_i², rows of W normalised."""
    n = len(values)
    neighbours = {i: [int(t) for s, t in edges.T if s == i] for i in range(n)}
    z = values - values.mean()
    total = products = 0.0
    for i in range(n):
        for j in neighbours[i]:
            weight = 1 / len(neighbours[i])
            total += weight
            products += weight * z[i] * z[j]
    return n / total * products / (z**2).sum()


def section(seed: int = 0, genes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """An 8 × 9 array with holes and one isolated spot; genes from smooth to noisy."""
    rng = np.random.default_rng(seed)
    row, col = (a.ravel() for a in np.mgrid[:8, :9])
    kept = rng.random(72) > 0.2
    row, col = np.append(row[kept], 20), np.append(col[kept], 20)
    noise = rng.normal(size=(len(row), genes))
    return np.sin(row / 2)[:, None] + noise * np.linspace(0, 2, genes), grid_edges(row, col, "square")


def test_against_the_double_loop() -> None:
    values, edges = section()

    scores = morans_i(values, edges)

    assert scores == pytest.approx([double_loop(column, edges) for column in values.T], abs=1e-12)
    assert scores[0] > 0.5 > scores[-1]


def test_against_scanpy() -> None:
    import scanpy as sc

    values, edges = section()
    values, n = values[:-1], len(values) - 1  # without the isolated spot, whose row of weights is empty
    degree = np.bincount(edges[0], minlength=n)
    weights = csr_matrix((1 / degree[edges[0]], (edges[0], edges[1])), shape=(n, n))

    assert morans_i(values, edges) == pytest.approx(sc.metrics.morans_i(weights, values.T.copy()), abs=1e-6)


@pytest.mark.parametrize("sparse", [csr_matrix, csr_array])
def test_sparse_counts_give_the_same(sparse: type) -> None:
    _, edges = section()
    counts = np.random.default_rng(1).poisson(0.7, (edges.max() + 1, 1500))  # more than one block of columns

    np.testing.assert_allclose(morans_i(sparse(counts), edges), morans_i(counts, edges), rtol=1e-12)


def test_undefined_is_nan_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    values, edges = section()
    values[:, 1] = np.float32(0.1)

    scores = morans_i(values.astype(np.float32), edges)

    assert np.isnan(scores).tolist() == [False, True, False, False, False]
    assert np.isnan(morans_i(values, np.zeros((2, 0), np.int64))).all()
    assert not recwarn.list


def test_against_squidpy() -> None:
    sq = pytest.importorskip("squidpy", reason="squidpy is not installed; benchmarks/speed says how")
    import anndata as ad

    values, edges = section()
    values, n = values[:-1], len(values) - 1  # without the isolated spot
    adata = ad.AnnData(values)
    adata.obsp["spatial_connectivities"] = csr_matrix((np.ones(edges.shape[1]), (edges[0], edges[1])), shape=(n, n))

    table = sq.gr.spatial_autocorr(adata, mode="moran", n_perms=None, copy=True, show_progress_bar=False)

    assert morans_i(values, edges) == pytest.approx(table.loc[adata.var_names, "I"].to_numpy(), abs=1e-6)
