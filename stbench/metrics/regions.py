"""Whether clusters of spots are the regions that a pathologist drew: ARI, AMI and NMI of KMeans and Leiden.

The same clustering of the truth stands beside that of the prediction: a section's own expression may hardly tell its
regions apart (KMeans on section A1 of HER2+: ARI .08–.12), and no prediction of it can be asked for more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.clustering import Labels, components, kmeans, leiden
from stbench.metrics.contract import Scores, Undefined
from stbench.slides import Slide

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Clusterings = list[Labels] | Undefined

AGREEMENTS = {
    "ari": "adjusted_rand_score",
    "ami": "adjusted_mutual_info_score",
    "nmi": "normalized_mutual_info_score",
}
"""Our names of scikit-learn's."""
UNDETERMINED = "undetermined"
SEEDS = range(10)
"""One draw of KMeans is no result: on section A1 of HER2+ the ARI of ten is .109 with a standard deviation of .014."""


def kmeans_regions(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> dict[str, Scores]:
    """Agreement of KMeans clusters with region labels, k the number of labels.

    ``*_kmeans`` is the mean over 10 seeds, ``*_kmeans_sd`` their standard deviation, and ``*_kmeans_truth`` the mean
    for the clusters of the truth. Spots without a label, or labelled ``undetermined``, are left out before the
    principal components are taken (Hist2ST, THItoGene, HGGEP); each clustering is the best of 10 starts.
    """
    spots = _labelled(measured, slide)
    sides = {
        side: _clusterings(values, measured, spots, constant, lambda x, k: [kmeans(x, k, seed) for seed in SEEDS])
        for side, values, constant in _sides(truth, prediction)
    }
    found = {}
    for name in AGREEMENTS:
        found[f"{name}_kmeans"] = _score(name, spots, sides["prediction"], np.mean)
        found[f"{name}_kmeans_sd"] = _score(name, spots, sides["prediction"], np.std)
        found[f"{name}_kmeans_truth"] = _score(name, spots, sides["truth"], np.mean)
    return found


def leiden_regions(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> dict[str, Scores]:
    """Agreement of Leiden clusters with region labels: ``*_leiden`` of the prediction, ``*_leiden_truth`` of the truth.

    The labels give nothing but their number: the resolution is found on the clustered values alone
    (`stbench.metrics.clustering.leiden`), not, as in HGGEP's figure, by what agrees best.
    """
    spots = _labelled(measured, slide)
    sides = {
        side: _clusterings(values, measured, spots, constant, lambda x, k: [leiden(x, k)])
        for side, values, constant in _sides(truth, prediction)
    }
    found = {}
    for name in AGREEMENTS:
        found[f"{name}_leiden"] = _score(name, spots, sides["prediction"], np.mean)
        found[f"{name}_leiden_truth"] = _score(name, spots, sides["truth"], np.mean)
    return found


@dataclass(frozen=True)
class _Labelled:
    """Rows of the spots with a label, in the order of their places, and the labels; or why there are none."""

    rows: NDArray[np.int64]
    labels: Labels
    reason: Undefined | None = None

    @property
    def k(self) -> int:
        """Number of labels."""
        return int(self.labels.max()) + 1


def _labelled(measured: Mask, slide: Slide) -> _Labelled:
    """Spots that have a label and a measured gene; sorted by place, so that their order in the slide means nothing."""
    import pandas as pd

    nobody = np.zeros(0, np.int64)
    if "region" not in slide.adata.obs:
        return _Labelled(nobody, nobody, Undefined.NO_LABELS)
    region = slide.adata.obs["region"]
    names = region.astype(str)
    said = (region.notna() & (names.str.lower() != UNDETERMINED)).to_numpy()
    if not said.any():
        return _Labelled(nobody, nobody, Undefined.NO_LABELS)
    order = np.lexsort(slide.centers_px.T)
    rows = order[(said & measured.any(1))[order]]
    labels = np.asarray(pd.factorize(names.to_numpy()[rows], sort=True)[0], np.int64)
    few = len(np.unique(labels)) < 2
    return _Labelled(rows, labels, Undefined.TOO_FEW if few else None)


def _sides(truth: Array, prediction: Array) -> list[tuple[str, Array, Undefined]]:
    return [
        ("prediction", prediction, Undefined.CONSTANT_PREDICTION),
        ("truth", truth, Undefined.CONSTANT_TRUTH),
    ]


def _clusterings(
    values: Array,
    measured: Mask,
    spots: _Labelled,
    constant: Undefined,
    cluster: Callable[[NDArray[np.float64], int], list[Labels]],
) -> Clusterings:
    """Clusterings of the labelled spots; `constant` where no gene varies over them."""
    if spots.reason:
        return spots.reason
    points = components(values[spots.rows], measured[spots.rows])
    return constant if points is None else cluster(points, spots.k)


def _score(
    name: str, spots: _Labelled, clusterings: Clusterings, reduce: Callable[[list[float]], np.floating]
) -> Scores:
    from sklearn import metrics

    agreement = getattr(metrics, AGREEMENTS[name])
    n_obs = np.array([len(spots.rows)])
    if isinstance(clusterings, Undefined):
        return Scores(np.zeros(1), n_obs, (clusterings,))
    value = reduce([float(agreement(spots.labels, found)) for found in clusterings])
    return Scores(np.array([float(value)]), n_obs, (None,))
