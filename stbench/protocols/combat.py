"""Removing the offsets of batches by ComBat (Johnson et al. 2007)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.protocols.steps import FitOn, State
from stbench.protocols.tpm import mapped
from stbench.slides import Slide

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class ComBat:
    """Parametric empirical Bayes by scanpy's `combat`, without covariates; the batch is the patient or the slide.

    A batch that the fit has not seen cannot be corrected: the fit sees every slide, which enters the ledger. Data of
    a single batch stay as they are.
    """

    modifies_truth: ClassVar[bool] = True
    fit_on: ClassVar[FitOn] = "all"

    by: Literal["patient", "slide"] = "patient"

    def fit(self, slides: Sequence[Slide]) -> State:
        """Correct all slides together, and keep what that does to each batch: a slope and an offset per gene."""
        batch = np.concatenate([[self._batch(slide)] * slide.n_spots for slide in slides])
        if len(set(batch)) < 2:
            return {"batches": {}}
        before = np.concatenate([slide.target for slide in slides]).astype(np.float64)
        after = _combat(before, batch)
        return {"batches": {name: _affine(before[batch == name], after[batch == name]) for name in sorted(set(batch))}}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with its batch's offset and scale removed.

        Raises
        ------
        DataError
            A batch that the fit has not seen.
        """
        if not state["batches"]:
            return slide
        name = self._batch(slide)
        if name not in state["batches"]:
            raise DataError(
                f"ComBat was fitted without {self.by} {name}, whose offset is unknown; use a protocol without it"
            )
        slope, offset = (np.asarray(values) for values in state["batches"][name])
        return mapped(slide, lambda x: slope * x + offset)

    def _batch(self, slide: Slide) -> str:
        return slide.info.patient if self.by == "patient" else slide.info.id


def _combat(values: Matrix, batch: NDArray[np.str_]) -> Matrix:
    import pandas as pd
    import scanpy as sc
    from anndata import AnnData

    varies = np.ptp(values, axis=0) > 0  # scanpy divides by each gene's variance
    corrected = values.copy()
    scratch = AnnData(
        values[:, varies], obs=pd.DataFrame({"batch": pd.Categorical(batch)}, index=map(str, range(len(batch))))
    )
    corrected[:, varies] = sc.pp.combat(scratch, key="batch", inplace=False)
    return corrected


def _affine(before: Matrix, after: Matrix) -> list[list[float]]:
    """Slope and offset per gene: within a batch, ComBat shifts and scales."""
    centred = before - before.mean(0)
    spread = (centred**2).sum(0)
    slope = np.divide((centred * (after - after.mean(0))).sum(0), spread, out=np.ones_like(spread), where=spread > 0)
    return [slope.tolist(), (after.mean(0) - slope * before.mean(0)).tolist()]
