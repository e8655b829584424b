"""Comparing two models over the same independent units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stbench.stats.intervals import Interval, t_interval

ALPHA = 0.05
POWER = 0.8
WILCOXON_FROM = 6
"""Units below which a two-sided signed-rank test cannot reach 0.05: with five, the smallest p is 2/2⁵."""

Verdict = Literal["different", "not resolved", "too few units"]


@dataclass(frozen=True)
class Paired:
    """A paired comparison: differences first − second, one per unit.

    Attributes
    ----------
    difference
        Mean over units with its t interval.
    sd
        Standard deviation of the differences over units; None for one unit.
    p_t
        Two-sided t test on the differences; None for one unit.
    effect_size
        Mean difference over the standard deviation of the differences (Cohen's d_z); None where they do not vary.
    differences
        One per unit.
    """

    difference: Interval
    sd: float | None
    p_t: float | None
    effect_size: float | None
    differences: tuple[float, ...]

    @property
    def p_wilcoxon(self) -> float | None:
        """Two-sided signed-rank test, from six units on; None below, and where all differences are zero."""
        if len(self.differences) < WILCOXON_FROM or not any(self.differences):
            return None
        from scipy.stats import wilcoxon

        return float(wilcoxon(self.differences).pvalue)

    @property
    def resolvable(self) -> float | None:
        """The smallest true difference that as many units with this spread would show in most such studies."""
        return smallest_resolvable(self.sd, self.difference.n_units) if self.sd else None

    @property
    def verdict(self) -> Verdict:
        """Whether these units tell the two apart."""
        if self.p_t is None:
            return "too few units"
        return "different" if self.p_t < ALPHA else "not resolved"


def paired(first: ArrayLike, second: ArrayLike) -> Paired:
    """Compare two models unit by unit.

    Parameters
    ----------
    first, second
        One value per unit (patients, or slides), in the same order, (units,); at least one.

    Notes
    -----
    The t test on the differences; `scipy.stats.wilcoxon` beside it, which needs no normality but six units.
    Differences that do not vary at all and are not zero have p = 0.
    """
    from scipy.special import stdtr

    d = np.asarray(first, np.float64) - np.asarray(second, np.float64)  # (units,)
    n = len(d)
    interval = t_interval(d)
    if n < 2:
        return Paired(interval, None, None, None, tuple(d.tolist()))
    sd = float(d.std(ddof=1))
    same = sd <= 1e-12 * max(1.0, float(np.abs(d).max()))
    if same:
        p = 1.0 if abs(interval.mean) <= 1e-12 else 0.0
    else:
        p = float(2 * stdtr(n - 1, -abs(interval.mean) / (sd / np.sqrt(n))))
    return Paired(
        interval,
        sd,
        p,
        None if same else interval.mean / sd,
        tuple(d.tolist()),
    )


def smallest_resolvable(sd: float, n_units: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest true mean difference that a paired t test finds with the given power.

    Parameters
    ----------
    sd
        Standard deviation of the differences over units.

    Notes
    -----
    Solves P(T > t_{1−α/2}) = power for the noncentrality of T ~ t'(n − 1, δ√n / sd).
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr, stdtrit

    degrees = n_units - 1
    critical = stdtrit(degrees, 1 - alpha / 2)

    def lacking(noncentrality: float) -> float:
        # the other tail is below 1e-3 at any useful power, and beyond what nctdtr resolves
        return float(power - 1 + nctdtr(degrees, noncentrality, critical))

    upper = 1.0
    while lacking(upper) > 0:
        upper *= 2
    return float(brentq(lacking, 0.0, upper) * sd / np.sqrt(n_units))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjustment of several tests' p values, (tests,); NaN stays NaN and counts for nothing.

    Notes
    -----
    The i-th smallest of m is multiplied by m − i, kept at least as large as those before it, and at most 1 (Holm 1979).
    """
    p = np.asarray(p_values, np.float64)
    adjusted = np.full_like(p, np.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted
