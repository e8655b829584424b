"""Sums of a map over disks and squares of the image's pixels, as if the map had been enlarged to the image's size.

Enlarging is bilinear (``align_corners=False``), which is linear: the weights of the map's cells in such a sum are known
beforehand, and nothing of the image's size is ever made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

MASK_PIXELS = 4_000_000
"""Pixels of disks looked at together."""
CHANNELS = 64
"""Channels of an integral image made together: in float64, as sums over a tile leave float32 few digits of a pixel."""


Shape = Literal["disk", "square"]


class Footprints(NamedTuple):
    """Disks or squares of one size on a window of the image.

    Attributes
    ----------
    centers_px
        (n, 2) x and y in pixels of the window; pixel i covers [i, i + 1).
    size_px
        Diameter or side.
    shape
        A pixel belongs to a footprint if its centre does; the pixel that holds the centre if no other does.
    """

    centers_px: NDArray[np.float64]
    size_px: float
    shape: Shape


class Lookups(NamedTuple):
    """A sum for each footprint: `weight` times the row `cell` of a table, added up by `footprint`."""

    footprint: NDArray[np.int64]
    cell: NDArray[np.int64]
    weight: NDArray[np.float64]


def pool(features: Tensor, footprints: Footprints, stride: int) -> tuple[Tensor, Tensor]:
    """Sum an enlarged map over each footprint.

    Parameters
    ----------
    features
        (channels, rows, columns) of a window of ``rows × stride`` by ``columns × stride`` pixels.
    footprints
        What lies beyond the window is left out.
    stride
        Pixels per cell, even.

    Returns
    -------
    Sums (n, channels) float32, and areas in pixels (n,).
    """
    grid = (features.shape[1], features.shape[2])
    if footprints.shape == "disk":
        stencils, area = disk_stencils(footprints, stride, grid)
        sums = _looked_up(features.float().flatten(1).T, stencils, len(area))
    else:
        corners, area = square_corners(footprints, stride, grid)
        sums = torch.cat(
            [
                _looked_up(integral_image(part).flatten(1).T, corners, len(area)).float()
                for part in torch.split(features, CHANNELS)
            ],
            1,
        )
    return sums, torch.from_numpy(area).to(sums)


def disk_stencils(footprints: Footprints, stride: int, grid: tuple[int, int]) -> tuple[Lookups, NDArray[np.int64]]:
    """Weights of the map's cells in the sum over each disk, and the disks' areas in pixels."""
    found = [_stencils(first, mask, stride, grid) for first, mask in _disks(footprints, stride, grid)]
    if not found:
        return Lookups(*_empty()), np.empty(0, np.int64)
    starts = np.cumsum([0, *(len(area) for _, area in found)])
    footprint = np.concatenate([part.footprint + start for (part, _), start in zip(found, starts, strict=False)])
    cell, weight = (np.concatenate([part[field] for part, _ in found]) for field in (1, 2))
    return Lookups(footprint, cell, weight), np.concatenate([area for _, area in found])


def _empty() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)


def _disks(
    footprints: Footprints, stride: int, grid: tuple[int, int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """First pixel (x, y) of a square around each disk, (n, 2), and which of its pixels are the disk's, (n, k, k)."""
    size = stride * np.array(grid[::-1])  # width, height
    radius = footprints.size_px / 2
    k = math.ceil(footprints.size_px) + 1
    step = max(1, MASK_PIXELS // k**2)
    for start in range(0, len(footprints.centers_px), step):
        centers = footprints.centers_px[start : start + step]
        first = np.ceil(centers - radius - 0.5).astype(np.int64)
        pixel = first[:, :, None] + np.arange(k)  # (n, 2, k)
        inside = (pixel >= 0) & (pixel < size[:, None])
        squared = np.where(inside, np.square(pixel + 0.5 - centers[:, :, None]), np.inf)
        mask = squared[:, 1, :, None] + squared[:, 0, None, :] <= radius**2  # (n, k, k)
        none = ~mask.any((1, 2))
        first[none] = np.clip(np.floor(centers[none]), 0, size - 1)
        mask[none, 0, 0] = True
        yield first, mask


def _stencils(
    first: NDArray[np.int64], mask: NDArray[np.bool_], stride: int, grid: tuple[int, int]
) -> tuple[Lookups, NDArray[np.int64]]:
    """The adjoint of enlarging: how much of each cell the pixels of a mask hold."""
    (x_cell, across), (y_cell, down) = (_interpolation(first[:, axis], mask.shape[1], stride) for axis in (0, 1))
    weight = down.transpose(0, 2, 1) @ mask.astype(np.float64) @ across  # (n, m, m)
    # beyond the border, enlarging repeats the outermost cell
    row, column = y_cell.clip(0, grid[0] - 1), x_cell.clip(0, grid[1] - 1)
    cell = row[:, :, None] * grid[1] + column[:, None, :]
    used = weight > 0
    return Lookups(np.nonzero(used)[0], cell[used], weight[used]), mask.sum((1, 2))


def _interpolation(first: NDArray[np.int64], k: int, stride: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells, (n, m), that `k` pixels from each `first` lie between, and their weights in each pixel, (n, k, m)."""
    place = (first[:, None] + np.arange(k) + 0.5) / stride - 0.5  # (n, k)
    lower = np.floor(place).astype(np.int64)
    cells = lower[:, :1] + np.arange((k - 1) // stride + 3)  # (n, m)
    weights = np.maximum(1 - np.abs(place[:, :, None] - cells[:, None, :]), 0)
    return cells, weights


def square_corners(footprints: Footprints, stride: int, grid: tuple[int, int]) -> tuple[Lookups, NDArray[np.int64]]:
    """Weights of the integral image's corners in the sum over each square, 36 each, and the areas in pixels."""
    size = stride * np.array(grid[::-1])
    centers, half = footprints.centers_px, footprints.size_px / 2
    begin, end = (np.ceil(centers + side - 0.5).clip(0, size).astype(np.int64) for side in (-half, half))
    none = end <= begin  # (n, 2)
    begin = np.where(none, np.floor(centers).clip(0, size - 1), begin).astype(np.int64)
    end = np.where(none, begin + 1, end)
    (x_at, x_weight), (y_at, y_weight) = (_bounds(begin[:, axis], end[:, axis], stride) for axis in (0, 1))
    cell = y_at[:, :, None] * (grid[1] + 3) + x_at[:, None, :]  # (n, 6, 6)
    weight = y_weight[:, :, None] * x_weight[:, None, :]
    footprint = np.repeat(np.arange(len(centers)), 36)
    return Lookups(footprint, cell.ravel(), weight.ravel()), (end - begin).prod(1)


def _bounds(
    begin: NDArray[np.int64], end: NDArray[np.int64], stride: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Where a sum over the pixels from `begin` up to `end` looks up prefix sums of cells, and weights, (n, 6) each."""
    (first, low), (last, high) = (_prefix(bound, stride) for bound in (begin, end))
    return np.concatenate([first, last], 1), np.concatenate([-low, high], 1)


def _prefix(bound: NDArray[np.int64], stride: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Three prefix sums of cells, and the weights that make them the sum over all pixels before `bound`.

    Between the centres of cells i and i + 1 lie `stride` pixels, which hold half a stride of each; of the pixels that
    are only partly before `bound`, t are, and hold t²/(2 · stride) of cell i + 1. Up to a constant that cancels.
    """
    segment, t = np.divmod(bound - stride // 2, stride)
    upper = t**2 / (2 * stride)
    lower = t - upper
    half = stride / 2
    at = segment[:, None] + np.arange(1, 4)  # the padded cell before the first has prefix 0
    return at, np.stack([half - lower, half + lower - upper, upper], 1)


def integral_image(features: Tensor) -> Tensor:
    """Sums of all cells above and left of each corner, the outermost cells repeated once around the map.

    (channels, rows, columns) → (channels, rows + 3, columns + 3) float64.
    """
    around = pad(features[None].double(), (1, 1, 1, 1), mode="replicate")[0]
    return pad(around.cumsum(1).cumsum(2), (1, 0, 1, 0))


def _looked_up(table: Tensor, lookups: Lookups, n: int) -> Tensor:
    """Weighted sums of rows of a table (cells, channels), (n, channels)."""
    index = torch.from_numpy(np.stack([lookups.footprint, lookups.cell]))
    weight = torch.from_numpy(lookups.weight).to(table.dtype)
    stencil = torch.sparse_coo_tensor(index, weight, (n, len(table)), check_invariants=False)
    with torch.autocast(table.device.type, enabled=False):  # sums of thousands of cells need more than 8 bits
        sums: Tensor = torch.sparse.mm(stencil.to(table.device), table)
    return sums
