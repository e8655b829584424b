"""Distance between where a gene is and where it is said to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stbench.metrics.contract import Scores, Undefined
from stbench.slides import Slide
from stbench.stats import varies

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def jsd(truth: Array, prediction: Array, measured: Mask, slide: Slide) -> Scores:
    """Jensen–Shannon divergence, per gene, of its distributions over spots; in bits, 0 alike to 1 apart.

    JSD = ½ KL(p ‖ ½(p + q)) + ½ KL(q ‖ ½(p + q)) with p = y / Σy and q = ŷ / Σŷ over the measured spots (Li et al.
    2022, Nature Methods 19:662): the square of ``scipy.spatial.distance.jensenshannon(p, q, base=2)``.

    Notes
    -----
    Negative predictions count as 0. A prediction without any mass is uniform, like every other constant one. Truth
    that is negative somewhere is no distribution: `NEGATIVE_TRUTH`.
    """
    from scipy.special import rel_entr

    n = measured.sum(0)
    p, q = _shares(truth, measured), _shares(prediction, measured)
    middle = (p + q) / 2
    bits = (rel_entr(p, middle) + rel_entr(q, middle)).sum(0) / (2 * np.log(2))
    negative, varying = np.any(measured & (truth < 0), axis=0), varies(truth, measured)
    reasons = tuple(
        Undefined.TOO_FEW
        if count < 2
        else Undefined.NEGATIVE_TRUTH
        if below
        else None
        if vary
        else Undefined.CONSTANT_TRUTH
        for count, below, vary in zip(n, negative, varying, strict=True)
    )
    return Scores(np.clip(bits, 0.0, 1.0), n, reasons)


def _shares(values: Array, measured: Mask) -> NDArray[np.float64]:
    """Share of each spot in a gene's mass, (spots, genes); uniform over the measured spots where there is no mass."""
    mass = np.where(measured, np.maximum(values, 0), 0).astype(np.float64)
    mass = np.where(mass.any(0), mass, measured)
    return np.asarray(mass / np.maximum(mass.sum(0), np.finfo(np.float64).tiny))
