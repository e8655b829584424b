"""What a metric function takes and gives.

``metric(truth, prediction, measured, slide) -> Scores`` with truth and prediction (spots, genes) float32, measured
(spots, genes) bool, and the test slide without expression but with its region labels, ``slide.adata.obs["region"]``,
where there are any. One value per gene, per spot, or one for the slide, according to the level its `MetricSpec` states.

Metrics that share their work (one clustering, several agreements) share a function: it returns a mapping of their names
to `Scores`, and is called once for all specs that name it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from stbench.errors import PluginError
from stbench.slides import Slide


class Undefined(StrEnum):
    """Why a value does not exist. Stored with a null, never as NaN.

    In aggregates ``CONSTANT_PREDICTION`` counts as 0, which is right where 0 means no better than chance: a metric
    whose best value is 0, or whose chance is another, gives a constant prediction the value it deserves.
    """

    CONSTANT_TRUTH = "constant_truth"
    CONSTANT_PREDICTION = "constant_prediction"
    TOO_FEW = "too_few"
    NOT_STREAMABLE = "not_streamable"
    NEGATIVE_TRUTH = "negative_truth"
    NO_LABELS = "no_labels"
    NO_GRID = "no_grid"


@dataclass(frozen=True)
class Scores:
    """Values of one metric on one slide.

    Attributes
    ----------
    values
        (genes,), (spots,) or (1,); ignored where a reason is given.
    n_obs
        Entries each value was computed from, same shape.
    reasons
        ``Undefined`` or None for each value.
    """

    values: NDArray[np.float64]
    n_obs: NDArray[np.int64]
    reasons: tuple[Undefined | None, ...]

    def mean(self) -> tuple[float | None, int, Undefined | None]:
        """Mean over values: constant predictions count as 0, other undefined values are left out.

        Returns
        -------
        The mean (None if nothing counts), the number of values in it, and the reason if there is none.
        """
        counted = [
            0.0 if reason == Undefined.CONSTANT_PREDICTION else float(value)
            for value, reason in zip(self.values, self.reasons, strict=True)
            if reason in (None, Undefined.CONSTANT_PREDICTION)
        ]
        if not counted:
            return None, 0, next(iter(self.reasons), None) or Undefined.TOO_FEW
        return float(np.mean(counted)), len(counted), None


Answer = Scores | Mapping[str, Scores]
MetricFunction = Callable[[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], Slide], Answer]


def scores_of(name: str, answer: Answer) -> Scores:
    """Scores of the metric `name` in what its function returned.

    Raises
    ------
    PluginError
        If it is not among those the function returned.
    """
    if isinstance(answer, Scores):
        return answer
    if name not in answer:
        raise PluginError(f"the function of metric {name} returned {', '.join(answer) or 'nothing'}, and not {name}")
    return answer[name]


def correlation_scores(
    n: NDArray[np.int64], ss_true: NDArray[np.float64], ss_pred: NDArray[np.float64], cross: NDArray[np.float64]
) -> Scores:
    """Pearson correlations from centred sums, with the reason where one does not exist."""
    reasons = tuple(
        Undefined.TOO_FEW
        if count < 2
        else Undefined.CONSTANT_TRUTH
        if true == 0
        else Undefined.CONSTANT_PREDICTION
        if pred == 0
        else None
        for count, true, pred in zip(n, ss_true, ss_pred, strict=True)
    )
    scale = np.sqrt(ss_true) * np.sqrt(ss_pred)
    values = np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)
    return Scores(np.clip(values, -1.0, 1.0), n, reasons)
