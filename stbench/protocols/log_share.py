"""Logarithm of a gene's share of a spot's counts, with a pseudocount for every gene (ST-Net)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stbench.protocols.steps import FitOn, State
from stbench.protocols.tpm import mapped
from stbench.slides import Slide


@dataclass(frozen=True)
class LogShare:
    """ln((1 + c) / (n + Z)): c counts of Z in the spot, over all n genes, those beyond the panel too.

    Take it after a panel, which keeps the counts of all genes in ``adata.raw``. n is the number of genes of any slide
    that the fit sees. A gene that a slide lacks has the value of c = 0 and is not measured there; expected counts are
    divided by the same n + Z.

    Parameters
    ----------
    fit_on
        ``all`` counts the genes of validation and test slides too, as ST-Net does.
    """

    fit_on: FitOn = "train"

    def fit(self, slides: Sequence[Slide]) -> State:
        """Count the genes."""
        return {"n_genes": len(set().union(*(_all_genes(slide).var_names for slide in slides)))}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide in target units."""
        total = np.asarray(_all_genes(slide).X.sum(axis=1), np.float64).reshape(-1, 1)  # (spots, 1)
        log_total = np.log(state["n_genes"] + total)
        return mapped(slide, lambda counts: np.log1p(counts) - log_total)


def _all_genes(slide: Slide) -> Any:
    """Counts before the panel was selected: an AnnData, or its raw."""
    return slide.adata if slide.adata.raw is None else slide.adata.raw
