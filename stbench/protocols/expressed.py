"""Filters by total counts and by the share of spots a gene is detected in, with strict bounds (SEPAL, SpaRED)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stbench.errors import DataError
from stbench.protocols.steps import (
    FitOn,
    State,
    Unfitted,
    column_sums,
    in_tissue,
    select_panel,
    shared_genes,
    spot_totals,
)
from stbench.slides import Slide


@dataclass(frozen=True)
class SpotCounts(Unfitted):
    """Keep spots in tissue with more than `above` and fewer than `below` counts over all genes."""

    above: int
    below: int

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide without the spots filtered out."""
        total = spot_totals(slide)
        return slide.subset(in_tissue(slide) & (total > self.above) & (total < self.below))


@dataclass(frozen=True)
class ExpressedGenes:
    """Keep genes by total counts and detection, all bounds strict; spots left without counts are dropped.

    Parameters
    ----------
    above, below
        Total counts over all spots.
    min_share
        Share of spots with a count above 0 in every slide: the smallest counts.
    min_share_pooled
        The same over all spots together.
    fit_on
        ``all`` looks at validation and test slides too, as SEPAL does.

    Notes
    -----
    Genes that a slide did not measure are out. Counts become dense: take it before what needs all values.
    """

    above: int
    below: int
    min_share: float
    min_share_pooled: float
    fit_on: FitOn = "train"

    def fit(self, slides: Sequence[Slide]) -> State:
        """Choose the genes.

        Raises
        ------
        DataError
            If none is left.
        """
        genes = shared_genes(slides)
        counts = [slide.adata[:, genes].X for slide in slides]
        detected = np.stack([column_sums(x > 0) for x in counts])  # (slides, genes)
        n_spots = np.array([slide.n_spots for slide in slides])[:, None]
        total = np.sum([column_sums(x) for x in counts], axis=0)
        share = (detected / np.maximum(n_spots, 1)).min(0)
        pooled = detected.sum(0) / n_spots.sum()
        kept = (total > self.above) & (total < self.below)
        kept &= (share > self.min_share) & (pooled > self.min_share_pooled)
        if not kept.any():
            raise DataError(
                f"no gene is left: of {len(genes)} measured in all {len(slides)} slides none has more than "
                f"{self.above} and fewer than {self.below} counts and is detected in more than "
                f"{self.min_share_pooled:.0%} of the spots; the data are too shallow for this protocol"
            )
        return {"genes": [gene for gene, keep in zip(genes, kept, strict=True) if keep]}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with these genes, and the spots that have a count of one of them."""
        selected = select_panel(slide, state["genes"])
        return selected.subset(selected.target.any(axis=1))
