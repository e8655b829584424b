"""Ranks of models: within one task with the band of those that cannot be told from the best, and over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stbench.stats.paired import ALPHA, Paired, holm, paired

TIED = 1e-9
"""Values closer than this are tied: sums are taken in another order each time."""


@dataclass(frozen=True)
class Standing:
    """One model among others on one task.

    Attributes
    ----------
    rank
        1 is best; tied values share the smallest rank.
    against_best
        Paired comparison with the best model; None for the best itself.
    p_holm
        Its p value adjusted for all comparisons with the best.
    tied_with_best
        Not told from the best: it is the best, or its adjusted p value is not below 0.05.
    """

    rank: int
    against_best: Paired | None
    p_holm: float | None
    tied_with_best: bool


def standings(values: Mapping[str, ArrayLike], higher_is_better: bool = True) -> dict[str, Standing]:
    """Rank models measured on the same units, and mark those in a tie band with the best.

    Parameters
    ----------
    values
        One value per unit for each model, (units,), all in the same order of units.
    """
    units = {name: np.asarray(v, np.float64) for name, v in values.items()}
    means = {name: float(v.mean()) for name, v in units.items()}
    ranks = competition_ranks(list(means.values()), higher_is_better)
    best = min(zip(ranks, means, strict=True))[1]
    tests = {name: paired(v, units[best]) for name, v in units.items() if name != best}
    p_values = [np.nan if t.p_t is None else t.p_t for t in tests.values()]
    adjusted = dict(zip(tests, holm(p_values), strict=True))
    found = {}
    for name, rank in zip(means, ranks, strict=True):
        p = adjusted.get(name)
        told_apart = p is not None and p < ALPHA
        found[name] = Standing(
            rank, tests.get(name), None if p is None or np.isnan(p) else float(p), tied_with_best=not told_apart
        )
    return found


def competition_ranks(values: Sequence[float], higher_is_better: bool = True) -> list[int]:
    """Rank of each value; values closer than `TIED` share the smallest rank (1, 2, 2, 4)."""
    ascending = np.asarray(values, np.float64) * (-1 if higher_is_better else 1)
    return [1 + int(n) for n in np.searchsorted(np.sort(ascending), ascending - TIED)]


def mean_ranks(ranks: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Mean rank of each model over tasks, each task counting once."""
    return {name: float(np.mean(r)) for name, r in ranks.items()}


@dataclass(frozen=True)
class Disagreement:
    """How differently two reductions rank the same models.

    Attributes
    ----------
    tau
        Kendall's τ_b between the two rankings; None where one of them ties all models.
    swapped
        Pairs that the two put in opposite order.
    same
        Both rank all models alike, ties included.
    """

    tau: float | None
    swapped: tuple[tuple[str, str], ...]
    same: bool


def disagreement(first: Mapping[str, float], second: Mapping[str, float]) -> Disagreement:
    """Compare the orders in which two scores (higher is better) put the models that both have.

    Notes
    -----
    τ_b = (concordant − discordant pairs) / √(pairs untied in one × pairs untied in the other) (Kendall 1945).
    """
    names = [name for name in first if name in second]
    a, b = (_levels([scores[name] for name in names]) for scores in (first, second))
    i, j = np.triu_indices(len(names), 1)
    first_order, second_order = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])  # (pairs,)
    agreement = first_order * second_order
    untied = float(np.sqrt(np.abs(first_order).sum() * np.abs(second_order).sum()))
    return Disagreement(
        float(agreement.sum() / untied) if untied else None,
        tuple((names[k], names[m]) for k, m in zip(i[agreement < 0], j[agreement < 0], strict=True)),
        bool((a == b).all()),
    )


def _levels(values: Sequence[float]) -> NDArray[np.int64]:
    return np.array(competition_ranks(values))
