"""Transcripts per million of a panel, and the logarithm to base 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.protocols.steps import FitOn, State, Unfitted, select_panel
from stbench.slides import Slide

Values = NDArray[np.float64]


@dataclass(frozen=True)
class PanelTPM:
    """Counts over gene length, scaled to a million per spot over the genes at hand.

    Parameters
    ----------
    lengths
        ``gencode``: the union of a gene's exons in GENCODE's basic annotation
        (`stbench.protocols.gene_lengths.gene_lengths`), genes that it lacks are dropped; data whose genes are not named
        by Ensembl ids have no lengths. ``none``: counts per million.

    Notes
    -----
    SEPAL's "TPM": computed over the filtered genes, not over the transcriptome.
    """

    lengths: Literal["gencode", "none"] = "gencode"
    fit_on: FitOn = "train"

    def fit(self, slides: Sequence[Slide]) -> State:
        """Look the lengths of the genes up.

        Raises
        ------
        DataError
            If the annotation is needed and cannot be had.
        """
        from stbench.protocols.gene_lengths import gene_lengths, species_of

        genes = list(slides[0].adata.var_names)
        if self.lengths == "none" or species_of(genes) is None:
            return {"genes": genes, "lengths": None}
        known = gene_lengths(genes)
        found = [gene for gene in genes if gene in known]
        if not found:
            raise DataError("none of the genes is in GENCODE's annotation; check the ids")
        return {"genes": found, "lengths": [known[gene] for gene in found]}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide in TPM, (spots, genes with a length)."""
        length = np.asarray(state["lengths"] or 1.0, np.float64)

        def scaled(counts: Values) -> Values:
            rate = counts / length
            total = rate.sum(1, keepdims=True)
            tpm: Values = np.divide(rate * 1e6, total, out=np.zeros_like(rate), where=total > 0)
            return tpm

        return mapped(select_panel(slide, state["genes"]), scaled)


@dataclass(frozen=True)
class Log2(Unfitted):
    """log2(1 + x)."""

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide in logarithmic units."""
        return mapped(slide, lambda x: np.log2(1 + x))


def mapped(slide: Slide, function: Callable[[Values], Values]) -> Slide:
    """Return the slide with a function of its dense values, and of the expected ones where a generator knows them."""
    adata = slide.adata.copy()
    adata.X = function(np.asarray(adata.X, np.float64)).astype(np.float32)
    if "expected" in adata.layers:
        adata.layers["expected"] = function(np.asarray(adata.layers["expected"], np.float64)).astype(np.float32)
    return slide.with_adata(adata)
