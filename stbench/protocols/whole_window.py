"""Spots whose patch lies inside the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stbench.protocols.steps import State, Unfitted
from stbench.slides import Slide


@dataclass(frozen=True)
class WholeWindow(Unfitted):
    """Keep spots whose square window around the rounded centre lies inside the image; all where there is no image."""

    microns: float

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide without spots at the image's edge."""
        if slide.source is None:
            return slide
        half = self.microns / slide.mpp / 2
        centers = slide.centers_px.round()  # (spots, 2), x and y
        # a share of a thousandth of a pixel is the division's, not the window's
        inside = (centers - half >= -1e-3) & (centers + half <= np.asarray(slide.image.size) + 1e-3)
        return slide.subset(inside.all(axis=1))
