"""Spots with too few counts of the panel to be worth predicting, by their size."""

from __future__ import annotations

from dataclasses import dataclass

from stbench.protocols.steps import State, Unfitted, spot_totals
from stbench.slides import Slide


@dataclass(frozen=True)
class EnoughPanelCounts(Unfitted):
    """Drop spots with fewer counts of the panel than their size asks for. Take it after the panel, before a transform.

    Parameters
    ----------
    least
        (size in µm, counts) pairs: what bins up to that size need. Larger spots need as many as the largest listed.
    """

    least: tuple[tuple[float, int], ...]

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide without the spots that have too few."""
        sizes = sorted(self.least)
        needed = next((counts for um, counts in sizes if slide.info.spot_um <= um), sizes[-1][1])
        return slide.subset(spot_totals(slide) >= needed)
