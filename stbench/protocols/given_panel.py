"""A panel that came with the data: a list of genes that others published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from stbench.errors import DataError
from stbench.protocols.steps import FitOn, State, select_panel
from stbench.slides import Slide

SHOWN = 5


@dataclass(frozen=True)
class GivenPanel:
    """The genes that a dataset lists in ``adata.uns["panel"]`` of its slides, in their order.

    Nobody can say on which sections such a list was chosen: the step counts as one that saw all of them, which enters
    the ledger. A gene that a slide lacks is unmeasured there.

    Parameters
    ----------
    remedy
        What the error says to do where the slides carry no list.
    """

    fit_on: ClassVar[FitOn] = "all"

    remedy: str = field(repr=False)  # what was fitted is kept by the repr of its step

    def fit(self, slides: Sequence[Slide]) -> State:
        """Take the list.

        Raises
        ------
        DataError
            The slides carry none, or it names genes that none of them has.
        """
        genes = [str(gene) for gene in slides[0].adata.uns.get("panel", ())]
        dataset = slides[0].info.dataset
        if not genes:
            raise DataError(f"{dataset} comes without the panel of genes; {self.remedy}")
        known = set().union(*(slide.adata.var_names for slide in slides))
        unknown = [gene for gene in genes if gene not in known]
        if unknown:
            more = ", …" if len(unknown) > SHOWN else ""
            raise DataError(
                f"{len(unknown)} of the {len(genes)} genes of {dataset}'s panel are in none of its sections "
                f"({', '.join(unknown[:SHOWN])}{more}); the list may be another data set's, {self.remedy}"
            )
        return {"genes": genes}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with the panel's counts."""
        return select_panel(slide, state["genes"])
