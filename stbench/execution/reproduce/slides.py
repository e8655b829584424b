"""One test slide of two runs: what it was scored on, and what was predicted for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stbench.execution.predicted import Predicted
from stbench.execution.reproduce.changes import StoredRun
from stbench.execution.reproduce.differences import Difference, difference, union
from stbench.execution.stored import stored_prediction, stored_slide
from stbench.slides import Slide
from stbench.store.record import TestSlide

Grid = tuple[NDArray[np.intp], ...]


@dataclass(frozen=True)
class SlideComparison:
    """Differences on one slide, over the spots and genes that both runs have.

    Attributes
    ----------
    other_target, other_predictions
        They are not of the same spots, genes or entries.
    predictions
        None if one of the runs kept none.
    """

    name: str
    n_spots: int
    n_genes: int
    target: Difference
    other_target: bool
    target_said: tuple[str, ...]
    predictions: Difference | None
    other_predictions: bool
    predictions_said: tuple[str, ...]


def compare_slide(then: StoredRun, now: StoredRun, tested: TestSlide, tested_now: TestSlide) -> SlideComparison:
    """Compare what two runs have of a slide.

    Raises
    ------
    OSError, pyarrow.ArrowException, StoreError
        If one of the stores is damaged.
    """
    old, new = stored_slide(then.layout, then.record, tested), stored_slide(now.layout, now.record, tested_now)
    old_grid, new_grid = _shared(old, new)
    said = [*_names_said(old, new, "spots"), *_names_said(old, new, "genes")]
    remasked = int((old.measured[old_grid] != new.measured[new_grid]).sum())
    if remasked:
        said.append(f"{remasked} entries are measured in one and not in the other")
    target = difference(old.target[old_grid], new.target[new_grid])
    other = bool(said)
    if target.n_different and not other and tested.truth_key == tested_now.truth_key:
        said.append("the truth in the store is not the one that was written under its key")
    if tested.truth_key != tested_now.truth_key and not other and not target.n_different:
        said.append("the truth's key changed (what the protocol fitted, or how it is described), its values did not")
    predictions, other_predictions = None, False
    predictions_said: list[str] = []
    if all("predictions.parquet" in run.record.files for run in (then, now)):
        pair = stored_prediction(then.folder, tested, old), stored_prediction(now.folder, tested_now, new)
        predictions, regiven = _predictions(*pair, old_grid, new_grid)
        other_predictions = other or regiven > 0
        if regiven:
            predictions_said.append(f"{regiven} entries are predicted in one and not in the other")
    where = f"slide {tested.slide}: "
    return SlideComparison(
        tested.slide,
        old.n_spots,
        int(old.adata.n_vars),
        target,
        other,
        tuple(where + sentence for sentence in said),
        predictions,
        other_predictions,
        tuple(where + sentence for sentence in predictions_said),
    )


def _predictions(then: Predicted, now: Predicted, old_grid: Grid, new_grid: Grid) -> tuple[Difference, int]:
    """Difference of the predictions, and how many entries only one of them has."""
    old, new = then.mean[old_grid], now.mean[new_grid]
    parts = [difference(old, new)]
    given = [np.ones_like(v, bool) if g is None else g for v, g in ((then.mean, then.given), (now.mean, now.given))]
    regiven = int((given[0][old_grid] != given[1][new_grid]).sum())
    if then.std is not None and now.std is not None:
        parts.append(difference(then.std[old_grid], now.std[new_grid], float(old.std(dtype=np.float64))))
    elif (then.std is None) != (now.std is None):
        regiven += old.size
    return union(parts), regiven


def _shared(old: Slide, new: Slide) -> tuple[Grid, Grid]:
    """Index of the spots and genes that both have, into each."""
    spots, genes = (
        a.intersection(b, sort=False)
        for a, b in ((old.adata.obs_names, new.adata.obs_names), (old.adata.var_names, new.adata.var_names))
    )
    first, second = (
        np.ix_(slide.adata.obs_names.get_indexer(spots), slide.adata.var_names.get_indexer(genes))
        for slide in (old, new)
    )
    return first, second


def _names_said(old: Slide, new: Slide, what: str) -> list[str]:
    then, now = (s.adata.obs_names if what == "spots" else s.adata.var_names for s in (old, new))
    if list(then) == list(now):
        return []
    gone, come = len(then.difference(now)), len(now.difference(then))
    return [f"{gone} of {len(then)} {what} are gone, {come} are new" if gone or come else f"other order of the {what}"]
