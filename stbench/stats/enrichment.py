"""Over-representation of gene sets among selected genes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Enriched:
    """One gene set.

    Attributes
    ----------
    overlap
        Selected genes that are in the set, `genes`.
    size
        Background genes that are in the set.
    fold
        `overlap` over what is expected of as many genes drawn from the background.
    p
        Probability of at least this overlap in such a draw (one-sided).
    q
        `p` after Benjamini and Hochberg over the sets tested.
    """

    name: str
    overlap: int
    size: int
    fold: float
    p: float
    q: float
    genes: tuple[str, ...]


def over_representation(
    selected: Collection[str],
    background: Collection[str],
    sets: Mapping[str, Collection[str]],
    min_size: int = 5,
    max_size: int = 500,
) -> list[Enriched]:
    """Test each set that has `min_size` to `max_size` genes in the background.

    Parameters
    ----------
    selected
        Genes of the background that were selected, in the order in which a set's genes are to be listed.
    background
        Every gene that could have been selected.
    sets
        Genes by name of the set; genes outside the background count for nothing.

    Returns
    -------
    Smallest p first; empty if no set has a size in the range.

    Raises
    ------
    ValueError
        If a selected gene is not in the background.

    Notes
    -----
    The hypergeometric test, which is Fisher's exact test with alternative "greater" (`scipy.stats.fisher_exact`).
    """
    from scipy.stats import false_discovery_control, hypergeom

    universe = set(background)
    if strange := set(selected) - universe:
        raise ValueError(f"{len(strange)} selected genes are not in the background, such as {min(strange)}")
    members = {name: universe.intersection(genes) for name, genes in sets.items()}
    members = {name: genes for name, genes in members.items() if min_size <= len(genes) <= max_size}
    if not members:
        return []
    found = [tuple(gene for gene in selected if gene in genes) for genes in members.values()]
    overlap, size = np.array([(len(f), len(g)) for f, g in zip(found, members.values(), strict=True)]).T
    p = hypergeom.sf(overlap - 1, len(universe), size, len(selected))
    q = false_discovery_control(p, method="bh")
    expected = size * len(selected) / len(universe)
    fold = np.divide(overlap, expected, out=np.zeros(len(size)), where=expected > 0)
    columns = zip(members, overlap.tolist(), size.tolist(), fold.tolist(), p.tolist(), q.tolist(), found, strict=True)
    return sorted((Enriched(*row) for row in columns), key=lambda e: (e.p, -e.fold, e.name))
