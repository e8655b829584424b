"""Where tissue is on an image: stain has colour, glass has none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stbench.slides.averaged import averaged
from stbench.slides.regions import SlideImage

RESOLUTION_UM = 8.0
LONGEST = 2000
"""Pixels of the mask's longer side where the image's scale is unknown."""
CHROMA = (8.0, 30.0)
"""Bounds of the threshold, in levels of 0–255: without them an image that is all tissue would be split by its stain."""
SMALLEST_UM = 100.0
"""Side of the smallest piece of tissue, and of the smallest hole."""


@dataclass(frozen=True)
class TissueMask:
    """A coarse mask of an image.

    Attributes
    ----------
    mask
        (height, width) bool.
    px
        Level-0 pixels of the image per pixel of the mask.
    """

    mask: NDArray[np.bool_]
    px: float

    def covers(self, points_px: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether points (x, y) in level-0 pixels, (n, 2), lie on tissue, (n,); outside of the image none does."""
        column, row = np.floor(np.asarray(points_px) / self.px).astype(np.int64).T
        height, width = self.mask.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.asarray(inside & self.mask[row.clip(0, height - 1), column.clip(0, width - 1)])


def tissue_mask(image: SlideImage, mpp: float | None) -> TissueMask:
    """Find tissue at about 8 µm a pixel.

    The image is averaged, its chroma (largest less smallest channel) split by Otsu's threshold, and pieces and holes
    smaller than 100 µm are dropped.

    Parameters
    ----------
    mpp
        µm per level-0 pixel; None: unknown, the mask's longer side gets 2,000 pixels.
    """
    from skimage.filters import threshold_otsu
    from skimage.morphology import remove_small_holes, remove_small_objects

    wanted = RESOLUTION_UM / mpp if mpp else max(image.size) / LONGEST
    colours, px = averaged(image, max(1.0, wanted))
    chroma = np.ptp(colours, axis=2)
    found = chroma > np.clip(threshold_otsu(chroma), *CHROMA)  # type: ignore[no-untyped-call]
    area = max(1, round((SMALLEST_UM / RESOLUTION_UM) ** 2))
    found = remove_small_holes(remove_small_objects(found, max_size=area - 1), max_size=area - 1)
    return TissueMask(found, px)
