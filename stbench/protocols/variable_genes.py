"""Panel of the genes whose expression varies most for their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stbench.errors import DataError
from stbench.protocols.steps import FitOn, State, select_panel, shared_genes
from stbench.slides import Slide


@dataclass(frozen=True)
class VariableGenesPanel:
    """The highly variable genes of log-normalised slides: scanpy's default (Seurat's dispersion), section by section.

    Genes are ranked by the number of sections in which they are among the `n_genes` most variable, then by their mean
    dispersion. Candidates are measured in every slide looked at.

    Parameters
    ----------
    also
        Genes that are in the panel whatever their rank, by id or symbol, where they are measured: known markers.
    fit_on
        ``all`` looks at validation and test slides too.
    """

    n_genes: int = 2000
    also: tuple[str, ...] = ()
    fit_on: FitOn = "train"

    def fit(self, slides: Sequence[Slide]) -> State:
        """Choose the panel.

        Raises
        ------
        DataError
            If no gene is measured in all slides.
        """
        import anndata
        import scanpy as sc

        genes = shared_genes(slides)
        if not genes:
            raise DataError(f"the panel is empty: no gene is measured in all {len(slides)} slides; check their names")
        named = {str(number): slide.adata[:, genes] for number, slide in enumerate(slides)}  # parts of one slide, too
        together = anndata.concat(named, label="section", index_unique="-")
        sc.pp.highly_variable_genes(together, n_top_genes=min(self.n_genes, len(genes)), batch_key="section")
        chosen = together.var["highly_variable"].to_numpy()
        symbols = slides[0].adata.var["symbol"].loc[genes]
        chosen |= np.isin(genes, self.also) | symbols.isin(self.also).to_numpy()
        return {"genes": [gene for gene, kept in zip(genes, chosen, strict=True) if kept]}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with the panel as its genes."""
        return select_panel(slide, state["genes"])
