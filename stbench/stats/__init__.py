"""Statistics without I/O: arrays in, arrays out."""

from __future__ import annotations

from stbench.stats.intervals import Interval, t_interval
from stbench.stats.moments import Moments, gene_moments
from stbench.stats.moran import morans_i

__all__ = ["Interval", "Moments", "gene_moments", "morans_i", "t_interval"]
