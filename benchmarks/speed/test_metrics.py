"""Metrics of one large section beside the loops of scipy, scikit-image and scanpy, in the same run.

``pytest benchmarks/speed --benchmark-group-by=group`` prints both times of each pair; quote their ratio. The loops know
no masks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stbench.execution.predicted import Predicted
from stbench.execution.scoring import metric_rows, moments_of, stored_metrics
from stbench.metrics.clustering import components, neighbourhood
from stbench.metrics.ranks import spearman, zero_auc
from stbench.metrics.raster import Raster
from stbench.metrics.regions import kmeans_regions, leiden_regions
from stbench.metrics.ssim import ssim_map
from stbench.registry import discover
from stbench.slides import Slide, SlideInfo

SPOTS, GENES, COLUMNS = 12_000, 785, 100


@pytest.fixture(scope="module")
def section() -> tuple[Slide, Predicted]:
    """A hexagonal section of six regions that expression follows loosely, and a blurred prediction of it."""
    rng = np.random.default_rng(0)
    row, nth = np.divmod(np.arange(SPOTS), COLUMNS)
    col = 2 * nth + row % 2
    region = row // 20
    level = rng.normal(0, 0.2, (region.max() + 1, GENES))[region] + rng.normal(-0.5, 1, GENES)
    truth = np.log1p(rng.poisson(np.exp(level))).astype(np.float32)
    prediction = (0.3 * truth + rng.normal(0, 0.3, truth.shape)).astype(np.float32)
    obs = pd.DataFrame(
        {"array_row": row, "array_col": col, "region": region.astype(str)}, index=np.arange(SPOTS).astype(str)
    )
    top = np.arange(GENES) < 50
    adata = AnnData(
        truth,
        obs=obs,
        var=pd.DataFrame({"hvg50": top, "heg50": top}, index=[f"G{g}" for g in range(GENES)]),
        obsm={"spatial": np.column_stack([50.0 * col, 86.0 * row])},
        layers={"measured": np.ones(truth.shape, bool)},
    )
    info = SlideInfo(id="S", patient="P", dataset="d", image_id="I", grid="hex", mpp=1.0, spot_um=55.0)
    return Slide(adata, info), Predicted(prediction)


def scored(metric: Callable[..., object], section: tuple[Slide, Predicted]) -> object:
    slide, predicted = section
    return metric(slide.target, predicted.mean, slide.measured, slide.without_expression(labels=True))


def gene_by_gene(function: Callable[..., float], section: tuple[Slide, Predicted]) -> list[float]:
    slide, predicted = section
    return [function(slide.target[:, g].astype(float), predicted.mean[:, g].astype(float)) for g in range(GENES)]


@pytest.mark.benchmark(group="moments of 12,000 spots and 785 genes")
def test_all_moments(benchmark, section):
    benchmark.pedantic(moments_of, ("run", "test", *section), rounds=3)


@pytest.mark.benchmark(group="every metric of 12,000 spots and 785 genes")
def test_every_metric(benchmark, section):
    metrics = stored_metrics(discover())
    rows = benchmark.pedantic(metric_rows, ("run", *section, metrics), rounds=1)
    assert len({row["metric"] for row in rows}) >= 25


@pytest.mark.benchmark(group="Spearman, 785 genes")
def test_spearman(benchmark, section):
    benchmark.pedantic(scored, (spearman, section), rounds=2)


@pytest.mark.benchmark(group="Spearman, 785 genes")
def test_spearman_by_scipy(benchmark, section):
    from scipy.stats import spearmanr

    benchmark.pedantic(gene_by_gene, (lambda y, p: spearmanr(y, p).statistic, section), rounds=2)


@pytest.mark.benchmark(group="AUC of non-zero, 785 genes")
def test_zero_auc(benchmark, section):
    benchmark.pedantic(scored, (zero_auc, section), rounds=2)


@pytest.mark.benchmark(group="AUC of non-zero, 785 genes")
def test_zero_auc_by_sklearn(benchmark, section):
    from sklearn.metrics import roc_auc_score

    benchmark.pedantic(gene_by_gene, (lambda y, p: roc_auc_score(y > 0, p), section), rounds=2)


@pytest.mark.benchmark(group="SSIM of maps, 785 genes")
def test_ssim_map(benchmark, section):
    benchmark.pedantic(scored, (ssim_map, section), rounds=2)


@pytest.mark.benchmark(group="SSIM of maps, 785 genes")
def test_ssim_by_skimage(benchmark, section):
    from skimage.metrics import structural_similarity

    slide, predicted = section
    raster = Raster.of(slide)
    y, p = (raster.maps(values.astype(float)) for values in (slide.target, predicted.mean))

    def loop() -> list[float]:
        return [structural_similarity(a, b, data_range=np.ptp(a)) for a, b in zip(y, p, strict=True)]

    benchmark.pedantic(loop, rounds=2)


@pytest.mark.benchmark(group="regions: two sides, ARI, AMI and NMI")
@pytest.mark.parametrize("metric", [kmeans_regions, leiden_regions])
def test_regions(benchmark, section, metric):
    if metric is leiden_regions:
        benchmark.group += ", Leiden"
    benchmark.pedantic(scored, (metric, section), rounds=1)


@pytest.mark.benchmark(group="regions: two sides, ARI, AMI and NMI")
def test_regions_each_metric_by_itself(benchmark, section):
    """KMeans anew for ARI, AMI and NMI, as functions that do not share it would."""
    benchmark.pedantic(lambda: [scored(kmeans_regions, section) for _ in range(3)], rounds=1)


@pytest.mark.benchmark(group="neighbourhood graph of 12,000 spots, first in its process")
def test_graph(benchmark, section):
    slide, _ = section
    benchmark.pedantic(neighbourhood, (components(slide.target, slide.measured),), rounds=1)


@pytest.mark.benchmark(group="neighbourhood graph of 12,000 spots, first in its process")
def test_graph_by_scanpy(benchmark, section):
    import scanpy as sc

    slide, _ = section
    adata = AnnData(np.zeros((SPOTS, 0), np.float32), obsm={"X": components(slide.target, slide.measured)})
    options = {"n_neighbors": 15, "use_rep": "X", "transformer": "sklearn"}
    benchmark.pedantic(sc.pp.neighbors, (adata,), options, rounds=1)
