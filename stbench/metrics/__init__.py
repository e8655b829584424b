"""Metrics: pure functions of truth, prediction and what was measured, plus metadata in their specs."""

from __future__ import annotations

from stbench.metrics.contract import Answer, MetricFunction, Scores, Undefined, correlation_scores, scores_of

__all__ = ["Answer", "MetricFunction", "Scores", "Undefined", "correlation_scores", "scores_of"]
