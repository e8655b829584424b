"""The six hooks of stbench. Every hook returns cheap descriptions; nothing heavy is imported for them."""

from __future__ import annotations

import pluggy

from stbench.registry._specs import (
    DatasetSpec,
    EncoderSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    ProtocolSpec,
)

PROJECT = "stbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def stbench_models() -> list[ModelSpec]:  # type: ignore[empty-body]
    """Return the models this plugin offers (since API 1)."""


@hookspec
def stbench_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """Return the datasets this plugin offers (since API 1)."""


@hookspec
def stbench_metrics() -> list[MetricSpec]:  # type: ignore[empty-body]
    """Return the metrics this plugin offers (since API 1)."""


@hookspec
def stbench_protocols() -> list[ProtocolSpec]:  # type: ignore[empty-body]
    """Return the protocols this plugin offers (since API 1)."""


@hookspec
def stbench_encoders() -> list[EncoderSpec]:  # type: ignore[empty-body]
    """Return the image encoders this plugin offers (since API 1)."""


@hookspec
def stbench_executors() -> list[ExecutorSpec]:  # type: ignore[empty-body]
    """Return the executors this plugin offers (since API 1)."""
