"""The adaptive median filter: zeros of a spatial map replaced by the median of the smallest window that has one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError

GATHERED = 2**22
"""Values gathered at a time: bounds memory to some tens of megabytes."""


@dataclass(frozen=True)
class Windows:
    """Nested windows around each spot, the spot itself in the first.

    Attributes
    ----------
    members
        Spots of each spot's largest window, nearest ring first, one spot's after the other's.
    start
        Where each spot's members begin, (spots,).
    size
        Spots in each window, (windows, spots): the window is the first ``size`` members.
    """

    members: NDArray[np.int64]
    start: NDArray[np.int64]
    size: NDArray[np.int64]

    @classmethod
    def of(cls, source: NDArray[np.int64], target: NDArray[np.int64], ring: NDArray[np.int64], n: int) -> Windows:
        """Make windows from directed pairs of different spots, `ring` (from 0) the first window a pair is in.

        Parameters
        ----------
        n
            Number of spots.
        """
        own = np.arange(n)
        source, target = np.concatenate([own, source]), np.concatenate([own, target])
        ring = np.concatenate([np.full(n, -1), ring])
        order = np.lexsort((target, ring, source))
        n_windows = int(ring.max(initial=-1)) + 1
        counts = np.zeros((n_windows + 1, n), np.int64)
        np.add.at(counts, (ring + 1, source), 1)
        size = counts.cumsum(0)
        start = np.concatenate([[0], size[-1].cumsum()[:-1]])
        return cls(target[order], start, size[1:])


def rings(positions: NDArray[np.float64], n_windows: int) -> Windows:
    """Disks whose radii are the `n_windows` smallest distances between any two spots.

    Parameters
    ----------
    positions
        (spots, 2), in the units the distances are meant in; distances are compared in float32.
    """
    from scipy.spatial import cKDTree

    n = len(positions)
    tree = cKDTree(positions)
    if n < 2:
        nothing = np.empty(0, np.int64)
        return Windows.of(nothing, nothing, nothing, n)
    nearest = tree.query(positions, k=2)[0][:, 1]
    reach, widest = float(nearest.max()) or 1.0, float(np.linalg.norm(np.ptp(positions, axis=0)))
    while True:  # widen until enough different distances lie within reach
        pairs = tree.query_pairs(reach, output_type="ndarray")
        distance = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1).astype(np.float32)
        radii = np.unique(distance[distance > 0])
        if len(radii) > n_windows or reach > widest:
            break
        reach *= 1.5
    ring = np.searchsorted(radii[:n_windows], distance)
    kept = ring < min(n_windows, len(radii))
    first, second = pairs[kept].astype(np.int64).T
    both = np.concatenate([first, second]), np.concatenate([second, first])
    return Windows.of(*both, np.tile(ring[kept], 2), n)


def hops(edges: NDArray[np.int64], n: int, n_windows: int) -> Windows:
    """Spots at most 1, 2, … `n_windows` steps away over directed `edges`, (2, edges).

    Parameters
    ----------
    n
        Number of spots.
    """
    from scipy.sparse import csr_array, eye_array

    step = csr_array((np.ones(edges.shape[1], np.int32), (edges[0], edges[1])), shape=(n, n))
    reached = csr_array(eye_array(n, dtype=np.int32))
    sources, targets, ring = [], [], []
    for k in range(n_windows):
        further = ((reached @ step + reached) > 0).astype(np.int32)
        source, target = (further - reached).nonzero()
        sources.append(source)
        targets.append(target)
        ring.append(np.full(len(source), k))
        reached = further
    return Windows.of(np.concatenate(sources), np.concatenate(targets), np.concatenate(ring), n)


def adaptive_median(values: NDArray[np.floating], windows: Windows) -> NDArray[np.float32]:
    """Replace zeros by the median of the smallest window whose median is not zero.

    Medians are over the original values of all spots of a window, the zeros and the spot itself among them. A zero
    that no window fills gets the median of its gene's non-zero values, or stays 0 where there are none.

    Parameters
    ----------
    values
        (spots, genes), none negative.

    Returns
    -------
    (spots, genes) float32; entries other than 0 are as they were.

    Raises
    ------
    DataError
        A negative or missing value.

    Notes
    -----
    Pepper denoising of SEPAL (Mejia et al. 2023, supplement). As no value is negative, a window's median is zero
    exactly if more than half of its values are (for an even number: if the upper of the two middle values is), which
    is a count; medians are computed only where they are needed.
    """
    from scipy.sparse import csr_array

    original = np.ascontiguousarray(np.asarray(values, np.float32).T)  # (genes, spots): windows of a gene lie together
    if not (original >= 0).all():
        raise DataError("the adaptive median filter takes values of 0 and more; take it before values are centred")
    filled = original.copy()
    occupied = (original.T > 0).astype(np.float32)  # (spots, genes)
    open_ = ~occupied.astype(bool)
    n = len(occupied)
    counts = occupied.copy()
    before = np.ones(n, np.int64)
    for size in windows.size:
        members = _ragged(windows.start + before, size - before)
        pointers = np.concatenate([[0], (size - before).cumsum()])
        ring = csr_array((np.ones(len(members), np.float32), windows.members[members], pointers), shape=(n, n))
        counts += ring @ occupied
        gene, spot = np.nonzero((open_ & (counts >= (size - size // 2)[:, None])).T)
        _fill(filled, original, gene, spot, windows, size)
        open_[spot, gene] = False
        before = size
    _fill_rest(filled, original, open_.T)
    return np.ascontiguousarray(filled.T)


def _fill(
    filled: NDArray[np.float32],
    original: NDArray[np.float32],
    gene: NDArray[np.int64],
    spot: NDArray[np.int64],
    windows: Windows,
    size: NDArray[np.int64],
) -> None:
    """Put the medians of the windows of (gene, spot) entries in their place."""
    wide = size[spot]
    for width in np.unique(wide):
        chosen = np.flatnonzero(wide == width)
        middle = [(width - 1) // 2, width // 2]
        steps = np.arange(width)
        for part in np.array_split(chosen, max(1, len(chosen) * int(width) // GATHERED)):
            g, s = gene[part], spot[part]
            neighbours = windows.members[windows.start[s][:, None] + steps]  # (entries, width)
            gathered = original[g[:, None], neighbours]
            gathered.partition(middle, axis=1)
            filled[g, s] = gathered[:, middle].mean(1)


def _fill_rest(filled: NDArray[np.float32], original: NDArray[np.float32], open_: NDArray[np.bool_]) -> None:
    for gene in np.flatnonzero(open_.any(1)):
        found = original[gene][original[gene] > 0]
        if len(found):
            filled[gene, open_[gene]] = np.median(found)


def _ragged(start: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenated ranges ``start .. start + length``."""
    ends = length.cumsum()
    return np.repeat(start - ends + length, length) + np.arange(ends[-1] if len(ends) else 0)
