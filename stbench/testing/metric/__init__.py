"""Checks of metrics, in the order they run."""

from __future__ import annotations

from stbench.testing.metric import invariance, purity  # register their checks after those of values
from stbench.testing.metric.subject import MetricSubject, Reference
from stbench.testing.metric.values import checks

__all__ = ["MetricSubject", "Reference", "checks", "invariance", "purity"]
