"""What plugin authors import in their tests: the conformance kit, and small slides with an image."""

from __future__ import annotations

from stbench.testing.kit import (
    check_dataset,
    check_encoder,
    check_metric,
    check_model,
    check_protocol,
    checks_of,
    dataset_checks,
    encoder_checks,
    metric_checks,
    model_checks,
    protocol_checks,
)
from stbench.testing.pytest_marks import parametrize_with_checks
from stbench.testing.slides import context, toy_slides

__all__ = [
    "check_dataset",
    "check_encoder",
    "check_metric",
    "check_model",
    "check_protocol",
    "checks_of",
    "context",
    "dataset_checks",
    "encoder_checks",
    "metric_checks",
    "model_checks",
    "parametrize_with_checks",
    "protocol_checks",
    "toy_slides",
]
