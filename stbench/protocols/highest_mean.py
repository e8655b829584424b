"""Panel of the genes with the highest mean count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stbench.errors import DataError
from stbench.protocols.steps import FitOn, State, column_sums, select_panel
from stbench.slides import Slide


@dataclass(frozen=True)
class HighestMeanPanel:
    """The genes with the highest mean raw count over all spots together, in order of their ids; ties by id.

    Candidates are the genes of any slide: one that a slide lacks was not seen in its spots, as in the published ST
    tables, which leave out genes without a count.

    Parameters
    ----------
    fit_on
        ``all`` looks at validation and test slides too, as ST-Net does.
    """

    n_genes: int = 250
    fit_on: FitOn = "train"

    def fit(self, slides: Sequence[Slide]) -> State:
        """Choose the panel.

        Raises
        ------
        DataError
            If no gene has a count.
        """
        import pandas as pd

        totals = [pd.Series(column_sums(slide.adata.X), index=slide.adata.var_names) for slide in slides]
        total = pd.concat(totals).groupby(level=0).sum().sort_index()
        ranked = total[total > 0].sort_values(ascending=False, kind="stable").index
        if len(ranked) == 0:
            raise DataError(f"the panel is empty: none of {len(total)} genes has a count in {len(slides)} slides")
        return {"genes": sorted(ranked[: self.n_genes])}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with the panel's counts; those of all genes are in ``adata.raw``."""
        return select_panel(slide, state["genes"])
