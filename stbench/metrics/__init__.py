"""Metrics: pure functions of truth, prediction and what was measured, plus metadata in their specs."""

from __future__ import annotations

from stbench.metrics.contract import MetricFunction, Scores, Undefined, correlation_scores

__all__ = ["MetricFunction", "Scores", "Undefined", "correlation_scores"]
