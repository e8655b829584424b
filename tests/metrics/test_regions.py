"""Clusters of spots against the regions that a pathologist drew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from stbench.metrics import Scores, Undefined
from stbench.metrics.clustering import components, kmeans, leiden, neighbourhood
from stbench.metrics.regions import kmeans_regions, leiden_regions
from stbench.slides import Slide

from .conftest import slide_of

AGREEMENT = {"ari": adjusted_rand_score, "ami": adjusted_mutual_info_score, "nmi": normalized_mutual_info_score}
FUNCTIONS = [kmeans_regions, leiden_regions]


def section(region: list[str] | np.ndarray, seed: int = 0, spread: float = 1.0) -> tuple[np.ndarray, Slide]:
    """Expression that follows the regions, and the slide."""
    rng = np.random.default_rng(seed)
    names, code = np.unique(np.asarray(region, str), return_inverse=True)
    levels = rng.normal(0, 1, (len(names), 20))
    truth = (levels[code] + rng.normal(0, spread, (len(code), 20))).astype(np.float32)
    return truth, slide_of(*np.divmod(np.arange(len(code)), 12), region=region)


def score(function, truth: np.ndarray, prediction: np.ndarray, slide: Slide) -> dict[str, Scores]:
    return function(truth, prediction, np.ones(truth.shape, bool), slide)


def values(found: Mapping[str, Scores]) -> dict[str, float]:
    return {name: float(s.values[0]) for name, s in found.items() if s.reasons == (None,)}


REGIONS = np.array(["invasive", "adipose", "immune", "undetermined"])[np.arange(144) // 3 % 4]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_labels_themselves_agree_and_so_do_they_renamed(function) -> None:
    labels = np.array(["a", "b", "c"])[np.arange(120) % 3]
    truth = np.eye(3, dtype=np.float32)[np.arange(120) % 3] + np.random.default_rng(0).normal(0, 0.01, (120, 3))
    renamed = np.array(["z", "x", "y"])[np.arange(120) % 3]

    for names in (labels, renamed):
        found = values(score(function, truth.astype(np.float32), truth.astype(np.float32), section(names)[1]))
        spread = {name: v for name, v in found.items() if name.endswith("_sd")}
        assert set(spread.values()) <= {0.0}
        assert [v for name, v in found.items() if name not in spread] == pytest.approx([1.0] * 6)


def test_is_scikit_learns_seed_by_seed() -> None:
    truth, slide = section(REGIONS, spread=2.5)
    prediction = (truth + np.random.default_rng(1).normal(0, 1, truth.shape)).astype(np.float32)
    kept = REGIONS != "undetermined"

    found = values(score(kmeans_regions, truth, prediction, slide))

    for side, side_values in (("", prediction), ("_truth", truth)):
        points = PCA(20).fit_transform(side_values[kept].astype(float))
        clusters = [KMeans(3, n_init=10, random_state=seed).fit_predict(points) for seed in range(10)]
        for name, agreement in AGREEMENT.items():
            draws = [agreement(REGIONS[kept], c) for c in clusters]
            assert found[f"{name}_kmeans{side}"] == pytest.approx(np.mean(draws), abs=1e-6)
            if not side:
                assert found[f"{name}_kmeans_sd"] == pytest.approx(np.std(draws), abs=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_spots_without_a_label_are_out_before_the_components(function) -> None:
    truth, slide = section(REGIONS)
    slide.adata.obs["region"] = slide.adata.obs["region"].where(np.arange(144) % 7 > 0)  # some null
    kept = slide.adata.obs["region"].notna().to_numpy() & (REGIONS != "undetermined")
    loud = np.where(kept[:, None], truth, 100 * truth)

    found = score(function, loud, loud, slide)
    alone = score(function, truth[kept], truth[kept], slide.subset(kept))

    assert values(found) == values(alone)
    assert {int(s.n_obs[0]) for s in found.values()} == {int(kept.sum())}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_order_of_the_spots_means_nothing(function) -> None:
    truth, slide = section(REGIONS, spread=2.5)  # clusters that depend on where KMeans starts
    order = np.random.default_rng(0).permutation(len(truth))

    assert values(score(function, truth, truth, slide)) == pytest.approx(
        values(score(function, truth[order], truth[order], slide.subset(order)))
    )


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (None, Undefined.NO_LABELS),
        ([None] * 24, Undefined.NO_LABELS),
        (["undetermined", "Undetermined"] * 12, Undefined.NO_LABELS),
        (["tumour", "undetermined"] * 12, Undefined.TOO_FEW),
    ],
)
def test_no_labels_and_one_label_are_reasons(function, region: object, reason: Undefined) -> None:
    truth, _ = section(["a", "b"] * 12)
    slide = slide_of(*np.divmod(np.arange(24), 6), region=region)

    assert {s.reasons for s in score(function, truth, truth, slide).values()} == {(reason,)}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_constants_are_reasons_of_their_own_side(function) -> None:
    truth, slide = section(REGIONS)
    constant = np.full_like(truth, 0.1)

    by_prediction = {name: s.reasons[0] for name, s in score(function, truth, constant, slide).items()}
    by_truth = {name: s.reasons[0] for name, s in score(function, constant, truth, slide).items()}

    for name in by_prediction:
        expected = (
            (None, Undefined.CONSTANT_TRUTH) if name.endswith("_truth") else (Undefined.CONSTANT_PREDICTION, None)
        )
        assert (by_prediction[name], by_truth[name]) == expected


def test_what_was_not_measured_moves_no_spot() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(5, 1, (40, 6)).astype(np.float32)
    measured = rng.random(y.shape) > 0.2
    filled = np.where(measured, y, np.ma.masked_array(y, ~measured).mean(0)).astype(float)

    found = components(np.where(measured, y, np.float32(1e6)), measured)

    np.testing.assert_allclose(np.abs(found), np.abs(PCA(6).fit_transform(filled)), atol=1e-5)


@pytest.mark.parametrize("k", [2, 4, 7])
def test_leiden_finds_as_many_clusters_as_there_are(k: int) -> None:
    points, labels = make_blobs(300, 5, centers=k, random_state=k)

    assert adjusted_rand_score(labels, leiden(points, k)) > 0.99
    assert adjusted_rand_score(labels, kmeans(points, k, 0)) > 0.99


def test_leiden_takes_the_nearest_number_it_can_have() -> None:
    points, _ = make_blobs(90, 3, centers=np.eye(3) * 1e3, random_state=0)

    assert leiden(points, 2).max() + 1 == 3  # apart, whatever the resolution


@pytest.mark.slow
@pytest.mark.parametrize("n", [12, 200])
def test_the_graph_is_scanpys(n: int) -> None:
    import scanpy as sc
    from anndata import AnnData

    points = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    points[1] = points[0]  # distance 0
    adata = AnnData(np.zeros((n, 0), np.float32), obsm={"X": points})
    sc.pp.neighbors(adata, n_neighbors=min(15, n), use_rep="X", transformer="sklearn")

    expected = adata.obsp["connectivities"].toarray()

    np.testing.assert_allclose(neighbourhood(points.astype(float)).toarray(), expected, atol=1e-4)


def test_a_sections_own_expression_hardly_tells_its_regions_apart(test_data: Path, cache_dir: Path) -> None:
    """specs of the papers: KMeans on section A1's own expression, ARI .083 to .124 over 30 seeds."""
    from stbench.datasets import DatasetContext
    from stbench.datasets.her2st import Her2st

    dataset = Her2st(DatasetContext(cache_dir, data_dir=test_data / "her2st"))
    slide = dataset.load("A1")
    panel = (test_data / "reference" / "her2st_panel_785.txt").read_text().split()
    counts = slide.adata[:, panel].X.toarray()
    truth = np.log10(1 + 1e4 * counts / counts.sum(1, keepdims=True)).astype(np.float32)
    seen = slide.without_expression(labels=True)

    found = values(kmeans_regions(truth, truth, np.ones(truth.shape, bool), seen))

    assert 0.083 <= found["ari_kmeans"] <= 0.124
    assert found["ari_kmeans"] == found["ari_kmeans_truth"]
