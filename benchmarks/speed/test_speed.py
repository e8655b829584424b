"""Each claim of speed beside the obvious alternative, in the same run.

``pytest benchmarks/speed --benchmark-group-by=group`` prints both times of each pair; quote their ratio.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stbench.models.ridge import ALPHAS, Gram
from stbench.slides.image import open_image
from stbench.slides.source import ImageSource
from stbench.stats import gene_moments, morans_i
from stbench.store.writer import PredictionWriter

SPOTS, GENES = 4000, 250


@pytest.fixture(scope="module")
def matrices() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(SPOTS, GENES)).astype(np.float32)
    return truth, (truth + rng.normal(size=truth.shape)).astype(np.float32)


@pytest.mark.benchmark(group="PCC of 250 genes over 4,000 spots")
def test_pcc_by_moments(benchmark, matrices):
    truth, prediction = matrices
    benchmark(gene_moments, truth, prediction, np.ones(truth.shape, bool))


@pytest.mark.benchmark(group="PCC of 250 genes over 4,000 spots")
def test_pcc_by_scipy_loop(benchmark, matrices):
    from scipy.stats import pearsonr

    truth, prediction = matrices
    benchmark(lambda: [pearsonr(truth[:, g], prediction[:, g]).statistic for g in range(GENES)])


@pytest.fixture(scope="module")
def lattice() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from stbench.slides.neighbours import grid_edges

    row, col = np.divmod(np.arange(2500), 50)
    values = np.random.default_rng(0).poisson(1.0, (2500, 400)).astype(np.float64)
    return values, grid_edges(row, col, "square")


@pytest.mark.benchmark(group="Moran's I of 400 genes over 2,500 spots")
def test_moran_as_one_product(benchmark, lattice):
    benchmark(morans_i, *lattice)


@pytest.mark.benchmark(group="Moran's I of 400 genes over 2,500 spots")
def test_moran_by_scanpy(benchmark, lattice):
    import scanpy as sc
    from scipy.sparse import csr_matrix

    values, edges = lattice
    degree = np.bincount(edges[0], minlength=len(values))
    weights = csr_matrix((1.0 / degree[edges[0]], (edges[0], edges[1])), shape=(len(values),) * 2)
    benchmark(sc.metrics.morans_i, weights, values.T)


@pytest.mark.benchmark(group="ridge, 17 penalties, 256 features, 250 genes")
def test_ridge_one_eigendecomposition(benchmark, matrices):
    Z = np.random.default_rng(1).normal(size=(SPOTS, 256))
    Y = matrices[0].astype(np.float64)

    def fit():
        gram = Gram.of(Z, Y)
        return [gram.predict(Z[:100], alpha) for alpha in ALPHAS]

    benchmark(fit)


@pytest.mark.benchmark(group="ridge, 17 penalties, 256 features, 250 genes")
def test_ridge_by_sklearn(benchmark, matrices):
    from sklearn.linear_model import Ridge

    Z = np.random.default_rng(1).normal(size=(SPOTS, 256))
    Y = matrices[0].astype(np.float64)
    benchmark(lambda: [Ridge(alpha=alpha).fit(Z, Y).predict(Z[:100]) for alpha in ALPHAS])


@pytest.fixture(scope="module")
def section(tmp_path_factory) -> tuple[Path, NDArray[np.float64]]:
    import imagecodecs

    folder = tmp_path_factory.mktemp("section")
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (100, 100, 3), dtype=np.uint8)
    image = np.kron(coarse, np.ones((50, 50, 1), np.uint8))
    (folder / "HE.jpg").write_bytes(imagecodecs.jpeg8_encode(image, level=90))
    return folder / "HE.jpg", rng.uniform(200, 4800, (500, 2))


@pytest.mark.benchmark(group="500 patches of 224 px from a 25-megapixel JPEG")
def test_patches_from_cache(benchmark, section, tmp_path):
    path, centers = section
    source = ImageSource(path, "0" * 64, centers, tmp_path)
    source.patches(pixels=224, side_px=224.0)
    benchmark(lambda: np.array(source.patches(pixels=224, side_px=224.0)))


@pytest.mark.benchmark(group="500 patches of 224 px from a 25-megapixel JPEG")
def test_patches_cut_from_decoded_cache(benchmark, section, tmp_path):
    path, centers = section
    benchmark.extra_info["ours"] = "cut from the decoded image"
    open_image(path, tmp_path)

    from stbench.slides.patches import cut_patches

    benchmark(lambda: cut_patches(open_image(path, tmp_path), centers, 224.0, 224))


@pytest.mark.benchmark(group="500 patches of 224 px from a 25-megapixel JPEG")
def test_patches_by_pillow(benchmark, section):
    from PIL import Image

    path, centers = section

    def crop():
        image = Image.open(path)
        return [np.asarray(image.crop((int(x) - 112, int(y) - 112, int(x) + 112, int(y) + 112))) for x, y in centers]

    benchmark(crop)


def _nothing() -> None:
    pass


@pytest.mark.benchmark(group="start of a cell's process", min_rounds=3)
def test_cell_from_fork_server(benchmark):
    from stbench.execution.processes import PRELOAD

    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("this platform has no fork server")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)

    def start():
        process = context.Process(target=_nothing)
        process.start()
        process.join()

    start()
    benchmark.pedantic(start, rounds=10)


@pytest.mark.benchmark(group="start of a cell's process", min_rounds=3)
def test_cell_from_fresh_interpreter(benchmark):
    imports = "import torch, timm, lightning, scanpy, sklearn.linear_model, stbench.execution.worker"
    benchmark.pedantic(lambda: subprocess.run([sys.executable, "-c", imports], check=True), rounds=3)


@pytest.mark.benchmark(group="1 million predictions to disk")
def test_predictions_as_long_parquet(benchmark, matrices, tmp_path):
    genes = [f"ENSG{g:011d}" for g in range(GENES)]

    def write():
        with PredictionWriter(tmp_path / "predictions.parquet", "run") as writer:
            writer.add("key", "slide", genes, matrices[1])

    benchmark(write)
    print(f"\nParquet: {(tmp_path / 'predictions.parquet').stat().st_size / matrices[1].size:.2f} bytes a value")


@pytest.mark.benchmark(group="1 million predictions to disk")
def test_predictions_as_plain_parquet(benchmark, matrices, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    spots = np.array([f"{i}x{i}" for i in range(SPOTS)])
    genes = np.array([f"ENSG{g:011d}" for g in range(GENES)])

    def write():
        table = pa.table(
            {"spot": np.tile(spots, GENES), "gene": np.repeat(genes, SPOTS), "y_pred": matrices[1].ravel(order="F")}
        )
        pq.write_table(table, tmp_path / "plain.parquet")

    benchmark(write)
    print(f"\nplain: {(tmp_path / 'plain.parquet').stat().st_size / matrices[1].size:.2f} bytes a value")


@pytest.fixture(scope="module")
def tokens_and_places() -> tuple[Any, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    row, col = np.divmod(np.arange(700), 27)
    place = torch.from_numpy(np.column_stack([row, col]).astype(np.float32))
    return torch.randn(700, 1024, generator=generator), place


@pytest.mark.benchmark(group="hypergraph of 700 spots with 1,024 features")
def test_hypergraph_by_tensors(benchmark, tokens_and_places):
    from stbench_hggep.hypergraph import nearest_hyperedges

    benchmark(nearest_hyperedges, *tokens_and_places, 3)


@pytest.mark.benchmark(group="hypergraph of 700 spots with 1,024 features")
def test_hypergraph_spot_by_spot(benchmark, tokens_and_places):
    import torch

    def by_spot(features, place):
        found = []
        for i in range(len(features)):
            apart = [torch.linalg.vector_norm(x - x[i], dim=1) for x in (features, place)]
            total = sum(d / d.sum() for d in apart)
            total[i] = torch.inf
            found.append(total.topk(3, largest=False).indices)
        return torch.stack(found)

    benchmark(by_spot, *tokens_and_places)


@pytest.fixture(scope="module")
def looked_up() -> tuple[Any, Any, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in ((4000, 128), (40_000, 128), (40_000, 2000)))


@pytest.mark.benchmark(group="top 50 of 40,000 keys for 4,000 queries, 2,000 genes")
def test_retrieval_in_blocks(benchmark, looked_up):
    from stbench.models.retrieval import Reference, nearest

    queries, keys, values = looked_up
    reference = Reference(keys, values)
    benchmark.pedantic(lambda: reference.mean(nearest(queries, keys, 50)[1]), rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="top 50 of 40,000 keys for 4,000 queries, 2,000 genes")
def test_retrieval_query_by_query(benchmark, looked_up):
    import torch

    queries, keys, values = looked_up

    def by_query():
        return torch.stack([values[(keys @ query).topk(50).indices].mean(0) for query in queries])

    benchmark.pedantic(by_query, rounds=3)
