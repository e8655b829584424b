"""H&E images at the size of a screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stbench.datasets import Dataset, DatasetContext
from stbench.datasets.transfer import tested_on
from stbench.errors import DataError
from stbench.registry import Registry
from stbench.slides import SlideInfo
from stbench.slides.regions import SlideImage

if TYPE_CHECKING:
    from PIL.Image import Image

MARGIN = 0.04
"""Tissue shown around the outermost spots, as a share of the longer side."""


@dataclass(frozen=True)
class Box:
    """A rectangle of a slide, in pixels of its image."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def around(cls, centers_px: NDArray[np.float64], radius_px: float) -> Box:
        """The rectangle that shows all spots with some margin."""
        low, high = centers_px.min(axis=0) - radius_px, centers_px.max(axis=0) + radius_px
        margin = MARGIN * float((high - low).max())
        left, top = (low - margin).tolist()
        width, height = (high - low + 2 * margin).tolist()
        return cls(left, top, width, height)


def overview(image: SlideImage, side: int, box: Box | None = None) -> Image:
    """Picture of an image, or of a part of it, at most `side` pixels wide and high; white beyond the edge."""
    from PIL import Image

    shown = box or Box(0, 0, *image.size)
    longer = max(shown.width, shown.height)
    level = max(i for i, d in enumerate(image.downsamples) if longer / d >= side or i == 0)
    x, y, width, height = (
        round(v / image.downsamples[level]) for v in (shown.left, shown.top, shown.width, shown.height)
    )
    picture = Image.fromarray(image.read(x, y, max(1, width), max(1, height), level))
    picture.thumbnail((side, side))
    return picture


def spot_radius_px(info: SlideInfo, centers_px: NDArray[np.float64]) -> float:
    """Radius to draw a spot with, in pixels of the image; half the distance to the nearest one if no scale is known."""
    if info.mpp is not None:
        return info.spot_um / info.mpp / 2
    from scipy.spatial import cKDTree

    if len(centers_px) < 2:
        return 1.0
    return float(np.median(cKDTree(centers_px).query(centers_px, k=2)[0][:, 1])) / 2


@dataclass
class Images:
    """Images of the datasets that are here.

    Attributes
    ----------
    context
        Where datasets may look.
    """

    registry: Registry
    context: DatasetContext
    _open: dict[str, Dataset] = field(default_factory=dict)

    def of(self, dataset: str, revision: str, slide_id: str) -> SlideImage:
        """Image of a slide.

        Raises
        ------
        StbenchError
            The dataset is not here, is here in another revision, or the slide has no image.
        """
        dataset, revision = tested_on(dataset), revision.rpartition("-")[2]  # where one data set tests another's models
        if dataset not in self._open:
            opened: Dataset = self.registry.get("dataset", dataset).spec.open(self.context)
            if opened.locate() is None:
                raise DataError(f"{dataset} is not here; give its --data-dir")
            self._open[dataset] = opened
        found = self._open[dataset]
        if found.revision != revision:
            raise DataError(f"{dataset} is here in revision {found.revision}, the runs were made on {revision}")
        return found.load(slide_id).image
