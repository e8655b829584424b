"""Statistics without I/O: arrays in, arrays out."""

from __future__ import annotations

from stbench.stats.intervals import Interval, t_interval
from stbench.stats.moments import Moments, gene_moments, varies
from stbench.stats.moran import morans_i
from stbench.stats.paired import Paired, holm, paired, smallest_resolvable
from stbench.stats.ranks import Standing, disagreement, mean_ranks, standings
from stbench.stats.selection import select, unit_means

__all__ = [
    "Interval",
    "Moments",
    "Paired",
    "Standing",
    "disagreement",
    "gene_moments",
    "holm",
    "mean_ranks",
    "morans_i",
    "paired",
    "select",
    "smallest_resolvable",
    "standings",
    "t_interval",
    "unit_means",
    "varies",
]
