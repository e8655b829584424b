"""Choosing among a model's parameter sets by validation, and averaging over what is nested in a unit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np


def select(validation: Mapping[str, float], higher_is_better: bool = True) -> str:
    """Return the name with the best validation score; the first of tied ones in alphabetical order.

    Nothing else enters: test scores are no argument.
    """
    sign = -1 if higher_is_better else 1
    return min(sorted(validation), key=lambda name: sign * validation[name])


def unit_means(values: Sequence[float], *levels: Sequence[Hashable]) -> dict[Hashable, float]:
    """Mean of each independent unit over what is nested in it: seeds and genes inside slides, slides inside patients.

    Parameters
    ----------
    values
        One per observation.
    levels
        Names of the groups each observation belongs to, outermost (the unit) first. The mean is taken over the
        innermost groups first, so that a slide with more seeds does not count more.
    """
    keys = [tuple(k) for k in zip(*levels, strict=True)]
    table = list(zip(keys, values, strict=True))
    for depth in range(len(levels), 0, -1):
        groups: dict[tuple[Hashable, ...], list[float]] = {}
        for key, value in table:
            groups.setdefault(key[:depth], []).append(value)
        table = [(key, float(np.mean(group))) for key, group in groups.items()]
    return {key[0]: value for key, value in table}
