"""Super-resolution: overlapping patches all over the tissue, whose squares are finer than a patch."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from stbench.slides import Slide
from stbench.slides.tissue import tissue_mask

Values = NDArray[np.float32]


@dataclass(frozen=True)
class DenseGrid:
    """Patches at a step of a k-th of their side, and the squares of that step that they cover k² times.

    Attributes
    ----------
    patches_px
        Centres of the patches, (patches, 2).
    squares_px
        Centres of the squares, (squares, 2).
    step_px
        Side of a square, in pixels of the image.
    covering
        Numbers of the patches that cover each square, (squares, k²); −1 where one of them is not on tissue.
    """

    patches_px: NDArray[np.float64]
    squares_px: NDArray[np.float64]
    step_px: float
    covering: NDArray[np.int64]

    def average(self, values: Values) -> Values:
        """Mean of the patches that cover each square, (patches, genes) → (squares, genes)."""
        total = np.zeros((len(self.squares_px), values.shape[1]), np.float32)
        for covering in self.covering.T:
            there = covering >= 0
            total[there] += values[covering[there]]
        return np.asarray(total / (self.covering >= 0).sum(1)[:, None], np.float32)

    def at_spots(self, values: Values, centers_px: NDArray[np.float64], side_px: float) -> Values:
        """Mean of the squares whose centres lie in each spot's patch, (squares, genes) → (spots, genes).

        The paper sums them; correlations are the same, and a mean keeps the units.
        """
        from scipy.spatial import cKDTree

        reach = side_px / 2 * (1 + 1e-9)
        inside = cKDTree(self.squares_px).query_ball_point(centers_px, reach, p=np.inf)
        return np.stack([values[squares].mean(0) for squares in inside])


def dense_grid(slide: Slide, side_px: float, factor: int) -> DenseGrid:
    """Lay patches over the tissue of a slide.

    Background is left out; squares of spots are kept whatever the mask says.

    Parameters
    ----------
    side_px
        Side of a patch, in pixels of the image.
    factor
        Squares per patch, k²: 4, 9, 25, …
    """
    from scipy.spatial import cKDTree

    k = isqrt(factor)
    step = side_px / k
    low, high = slide.centers_px.min(0) - side_px / 2, slide.centers_px.max(0) + side_px / 2
    width, height = np.ceil((high - low) / step - 1e-9).astype(int)
    # the square (a, b) begins at low + step · (a, b)
    a, b = (index.ravel() for index in np.meshgrid(np.arange(width), np.arange(height)))
    squares = low + step * (np.column_stack([a, b]) + 0.5)
    tissue = tissue_mask(slide.image, slide.mpp)
    nearest, _ = cKDTree(slide.centers_px).query(squares, p=np.inf)
    of_a_spot = nearest <= side_px / 2 * (1 + 1e-9)
    kept = of_a_spot | tissue.covers(squares)
    # the patch (i, j) covers the squares i … i + k − 1, j … j + k − 1
    offsets = np.array([(i, j) for j in range(1 - k, 1) for i in range(1 - k, 1)])
    first = np.column_stack([a, b])[kept][:, None] + offsets  # (squares, k², 2)
    corners, number = np.unique(first.reshape(-1, 2), axis=0, return_inverse=True)
    centers = low + step * corners + side_px / 2
    wanted = tissue.covers(centers) | (cKDTree(slide.centers_px).query(centers, p=np.inf)[0] <= side_px / 2)
    renumbered = np.where(wanted, np.cumsum(wanted) - 1, -1)
    covering = renumbered[number.reshape(first.shape[:2])]
    covered = (covering >= 0).any(1)
    return DenseGrid(centers[wanted], squares[kept][covered], step, covering[covered])
