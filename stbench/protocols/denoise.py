"""Pepper denoising: zeros filled from the spots around them, marked as not measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from stbench.protocols.steps import State, Unfitted
from stbench.slides import Slide
from stbench.stats.median_filter import adaptive_median, hops, rings


@dataclass(frozen=True)
class AdaptiveMedian(Unfitted):
    """Fill zeros of each gene by the median of the smallest window that has one; what is filled was not measured.

    Models may train on filled values. Metrics skip them: ``layers["measured"]`` is False there.

    Parameters
    ----------
    windows
        ``rings``: disks over the array coordinates as they are (SEPAL: on a hexagonal array columns count double);
        ``hops``: steps over the array (SpaRED).
    n_windows
        Windows tried.
    """

    modifies_truth: ClassVar[bool] = True

    windows: Literal["rings", "hops"] = "rings"
    n_windows: int = 7

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide without its zeros, as far as a window or the gene's median fills them."""
        if self.windows == "rings":
            windows = rings(slide.array_positions, self.n_windows)
        else:
            windows = hops(slide.neighbours("grid"), slide.n_spots, self.n_windows)
        adata = slide.adata.copy()
        values = slide.target
        present = values > 0
        adata.layers["measured"] = present & slide.measured if "measured" in adata.layers else present
        adata.X = adaptive_median(values, windows)
        return slide.with_adata(adata)
