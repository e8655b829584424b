"""Regions that an expression matrix falls into, beside those a pathologist drew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.clustering import components, kmeans
from stbench.metrics.regions import UNDETERMINED
from stbench.report.sections import Section

SEED = 0
"""Of the one clustering that is drawn; the metric ``ari_kmeans`` is the mean of ten."""


@dataclass(frozen=True)
class RegionMap:
    """Clusters of one matrix against the annotated labels.

    Attributes
    ----------
    codes
        Index into the labels that each spot's cluster was matched to, (spots,); −1 where nothing is shown.
    ari
        Adjusted Rand index, mean over the parts that have two labels or more.
    """

    codes: NDArray[np.int64]
    ari: float


def region_labels(section: Section) -> list[str]:
    """Annotated regions, sorted; fewer than two make no map."""
    labels = sorted({r for r in section.regions if r is not None and r.lower() != UNDETERMINED})
    return labels if len(labels) > 1 else []


def region_codes(section: Section, labels: list[str]) -> NDArray[np.int64]:
    """Index of each spot's annotated region, −1 where there is none, (spots,)."""
    index = {label: i for i, label in enumerate(labels)}
    return np.array([index.get(region or "", -1) for region in section.regions], np.int64)


def region_map(section: Section, labels: list[str], values: NDArray[np.float32]) -> RegionMap | None:
    """Cluster each fold's part by itself, so that what differs between folds makes no region.

    Parameters
    ----------
    values
        Truth or a prediction, (spots, genes).

    Returns
    -------
    None where no part has two labels and values.
    """
    from sklearn.metrics import adjusted_rand_score

    truth = region_codes(section, labels)
    codes = np.full(len(truth), -1, np.int64)
    aris = []
    for number in range(section.n_parts):
        rows = np.flatnonzero((section.part == number) & (truth >= 0))
        known = np.isfinite(values[rows])
        n_regions = len(np.unique(truth[rows]))
        if n_regions < 2 or not known.any():
            continue
        points = components(values[rows], known)
        clusters = np.zeros(len(rows), np.int64) if points is None else kmeans(points, n_regions, SEED)
        aris.append(float(adjusted_rand_score(truth[rows], clusters)))
        codes[rows] = _matched(clusters, truth[rows], len(labels))
    return RegionMap(codes, float(np.mean(aris))) if aris else None


def _matched(clusters: NDArray[np.int64], truth: NDArray[np.int64], n_labels: int) -> NDArray[np.int64]:
    """Clusters renamed to the labels they overlap most, one to one: a colour means the same in every map."""
    from scipy.optimize import linear_sum_assignment

    overlap = np.zeros((int(clusters.max()) + 1, n_labels))
    np.add.at(overlap, (clusters, truth), 1)
    mine, theirs = linear_sum_assignment(-overlap)
    names = np.full(len(overlap), -1, np.int64)
    names[mine] = theirs
    return names[clusters]
