"""What plugin modules import: hook marker and specs. Cheap by design: no torch, no numpy."""

from __future__ import annotations

from stbench.registry._discovery import Registered, Registry, discover
from stbench.registry._hookspecs import hookimpl
from stbench.registry._specs import (
    DatasetSpec,
    EncoderSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    Paper,
    ProtocolSpec,
    Published,
    Spec,
)

__all__ = [
    "DatasetSpec",
    "EncoderSpec",
    "ExecutorSpec",
    "MetricSpec",
    "ModelSpec",
    "Paper",
    "ProtocolSpec",
    "Published",
    "Registered",
    "Registry",
    "Spec",
    "discover",
    "hookimpl",
]
