"""Structural similarity (Wang et al. 2004), one value per gene: in one window, and in local windows of the map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.contract import Scores, Undefined
from stbench.metrics.raster import Raster
from stbench.slides import Slide
from stbench.stats import gene_moments, varies

Array = NDArray[np.float32]
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

WINDOW = 7
"""Side of a local window in spots: scikit-image's default."""
COLUMNS = 16
"""Genes at a time: the maps of more do not stay in the processor's cache."""


def ssim(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> Scores:
    """Structural similarity of each gene in one window over all its measured spots (HGGEP, eq. 20).

    SSIM = (2 μ_y μ_ŷ + C₁)(2 σ_yŷ + C₂) / ((μ_y² + μ_ŷ² + C₁)(σ_y² + σ_ŷ² + C₂)) with C₁ = (0.01 L)², C₂ = (0.03 L)²
    and L the range of the gene's truth. The paper leaves constants and range open; these are Wang's, over that range.
    A constant prediction has a value: near 0, as far as the truth varies.
    """
    m = gene_moments(truth, prediction, measured)
    n = np.maximum(m.n, 1)
    c1, c2 = _constants(_range(truth, measured))
    values = _similarity(m.mean_true, m.mean_pred, m.ss_true / n, m.ss_pred / n, m.cross / n, c1, c2)
    return Scores(values, m.n, _reasons(truth, measured))


def ssim_map(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> Scores:
    """Structural similarity of each gene's map: mean over its spots of the SSIM in the 7 × 7 window around each.

    The slide's array is the raster (hexagonal rows are shifted by half a spot). Only measured spots count, in every
    window: where all 49 are measured this is ``skimage.metrics.structural_similarity`` with uniform windows, population
    covariance and L the range of the gene's truth; at the tissue's edge windows hold fewer. Background never enters:
    zeros beside the tissue, alike in both maps, would be similarity that nobody predicted.
    """
    raster = Raster.of(slide)
    if raster is None:
        genes = truth.shape[1]
        return Scores(np.zeros(genes), measured.sum(0), (Undefined.NO_GRID,) * genes)
    extent = _range(truth, measured)
    values = np.zeros(truth.shape[1])
    for start in range(0, truth.shape[1], COLUMNS):  # bounds memory
        columns = slice(start, start + COLUMNS)
        kept = measured[:, columns].astype(np.float64)
        y, p = (np.where(measured[:, columns], v[:, columns], 0).astype(np.float64) for v in (truth, prediction))
        local = local_ssim(raster.maps(y), raster.maps(p), raster.maps(kept), extent[columns])
        values[columns] = (raster.spots(local) * kept).sum(0) / np.maximum(kept.sum(0), 1)
    return Scores(values, measured.sum(0), _reasons(truth, measured))


def local_ssim(y: Values, p: Values, kept: Values, extent: Values) -> Values:
    """SSIM in the window around each cell of maps, from the cells that are kept.

    Parameters
    ----------
    y, p
        Truth and prediction, (genes, rows, columns), 0 where not kept.
    kept
        1.0 where there is a measured spot, else 0.0, same shape.
    extent
        Range of each gene's truth, (genes,).

    Returns
    -------
    (genes, rows, columns); 0 where the window is empty.
    """
    share = _window_mean(kept)

    def mean(maps: Values) -> Values:
        return np.divide(_window_mean(maps), share, out=np.zeros_like(maps), where=share > 1 / (2 * WINDOW**2))

    mean_y, mean_p = mean(y), mean(p)
    var_y = np.maximum(mean(y * y) - mean_y**2, 0)
    var_p = np.maximum(mean(p * p) - mean_p**2, 0)
    c1, c2 = (c[:, None, None] for c in _constants(extent))
    return _similarity(mean_y, mean_p, var_y, var_p, mean(y * p) - mean_y * mean_p, c1, c2)


def _window_mean(maps: Values) -> Values:
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(maps, size=(1, WINDOW, WINDOW), mode="constant"))


def _similarity(
    mean_y: Values, mean_p: Values, var_y: Values, var_p: Values, covariance: Values, c1: Values, c2: Values
) -> Values:
    above = (2 * mean_y * mean_p + c1) * (2 * covariance + c2)
    below = (mean_y**2 + mean_p**2 + c1) * (var_y + var_p + c2)
    return np.clip(np.divide(above, below, out=np.zeros_like(above), where=below > 0), -1.0, 1.0)


def _constants(extent: Values) -> tuple[Values, Values]:
    return (0.01 * extent) ** 2, (0.03 * extent) ** 2


def _range(truth: Array, measured: Mask) -> Values:
    """Range of each gene's truth, (genes,); 0 where nothing was measured."""
    high = np.where(measured, truth, -np.inf).max(0, initial=-np.inf)
    low = np.where(measured, truth, np.inf).min(0, initial=np.inf)
    return np.where(high > low, high - low, 0.0).astype(np.float64)


def _reasons(truth: Array, measured: Mask) -> tuple[Undefined | None, ...]:
    return tuple(
        Undefined.TOO_FEW if n < 2 else None if vary else Undefined.CONSTANT_TRUTH
        for n, vary in zip(measured.sum(0), varies(truth, measured), strict=True)
    )
