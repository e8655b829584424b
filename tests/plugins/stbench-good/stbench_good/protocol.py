"""A protocol with a step of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stbench.protocols import Protocol
from stbench.protocols.folds import leave_one_out
from stbench.protocols.steps import AnnotateGenes, FilterSpots, NormalizeLog1p, select_panel
from stbench.slides import Slide


@dataclass(frozen=True)
class MostExpressed:
    """Panel of the genes with the highest training mean, among those measured everywhere."""

    fit_on: ClassVar[str] = "train"
    n_genes: int = 10

    def fit(self, slides: Sequence[Slide]) -> dict[str, Any]:
        shared = set.intersection(*(set(slide.adata.var_names) for slide in slides))
        genes = sorted(shared)
        mean = np.mean([np.asarray(slide.adata[:, genes].X.mean(axis=0)).ravel() for slide in slides], axis=0)
        return {"genes": [genes[i] for i in np.argsort(-mean, kind="stable")[: self.n_genes]]}

    def transform(self, slide: Slide, state: dict[str, Any]) -> Slide:
        return select_panel(slide, state["genes"])


GOOD_TOP = Protocol(
    name="good-top",
    version="1",
    spot_steps=(FilterSpots(min_counts=1),),
    target_steps=(NormalizeLog1p(), MostExpressed(), AnnotateGenes(n_marked=5)),
    split=lambda slides: leave_one_out(slides, lambda s: s.patient),
)
