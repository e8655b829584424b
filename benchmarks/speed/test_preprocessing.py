"""Preprocessing steps beside the packages they are compared with, in the same run.

The references are optional: ``pip install squidpy`` and, as spared names more than it needs and less than it imports,
``pip install --no-deps spared wget combat positional-encodings opencv-python-headless plotly``.
"""

from __future__ import annotations

import tracemalloc

import anndata as ad
import numpy as np
import pytest
from numpy.typing import NDArray

from stbench.slides.neighbours import grid_edges
from stbench.stats import morans_i
from stbench.stats.median_filter import adaptive_median, hops, rings

N_WINDOWS = 7
SIZES = {"1,000 spots × 300 genes": (40, 25, 300), "3,900 spots × 1,000 genes": (78, 50, 1000)}
FILTER = "adaptive median filter, "
MORAN = "Moran's I, "


@pytest.fixture(scope="module", params=list(SIZES))
def section(request: pytest.FixtureRequest) -> tuple[str, ad.AnnData]:
    """A hexagonal section with the share of zeros that Visium has, about 60 %."""
    rows, cols, genes = SIZES[request.param]
    rng = np.random.default_rng(0)
    row, nth = np.divmod(np.arange(rows * cols), cols)
    col = 2 * nth + row % 2
    values = np.log2(1 + rng.poisson(rng.gamma(0.7, 1, (len(row), genes)))).astype(np.float32)
    adata = ad.AnnData(values)
    adata.layers["log"] = values
    adata.obs["array_row"], adata.obs["array_col"] = row, col
    adata.obsm["spatial"] = np.column_stack([50.0 * col, 86.6 * row])
    return request.param, adata


def edges_of(adata: ad.AnnData) -> NDArray[np.int64]:
    return grid_edges(adata.obs["array_row"].to_numpy(), adata.obs["array_col"].to_numpy(), "hex")


def peak_mb(run) -> float:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


@pytest.mark.parametrize("windows", ["hops", "rings"])
def test_adaptive_median(benchmark, section, windows):
    name, adata = section
    benchmark.group = FILTER + name
    if windows == "rings":
        benchmark.extra_info["ours"] = "by distance"

    def run():
        nested = (
            hops(edges_of(adata), adata.n_obs, N_WINDOWS)
            if windows == "hops"
            else rings(adata.obsm["spatial"], N_WINDOWS)
        )
        return adaptive_median(adata.layers["log"], nested)

    print(f"\n{windows}, {name}: peak {peak_mb(run):.0f} MB")
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)


def test_adaptive_median_by_spared(benchmark, section):
    denoising = pytest.importorskip("spared.denoising.denoising")
    name, adata = section
    benchmark.group = FILTER + name
    benchmark.pedantic(
        lambda: denoising.adaptive_median_filter_pepper(adata.copy(), "log", "filled", N_WINDOWS, True), rounds=1
    )


def test_moran(benchmark, section):
    name, adata = section
    benchmark.group = MORAN + name
    edges = edges_of(adata)
    benchmark.pedantic(lambda: morans_i(adata.X, edges), rounds=5, warmup_rounds=1)


def test_moran_by_squidpy(benchmark, section):
    sq = pytest.importorskip("squidpy")
    name, adata = section
    benchmark.group = MORAN + name
    adata = adata.copy()
    sq.gr.spatial_neighbors(adata, coord_type="grid", n_neighs=6)
    # numba compiles in the warm-up round
    benchmark.pedantic(
        lambda: sq.gr.spatial_autocorr(adata, mode="moran", n_perms=None, show_progress_bar=False),
        rounds=5,
        warmup_rounds=1,
    )
