"""What plugin modules import: hook marker and specs. Cheap by design: no torch, no numpy."""

from __future__ import annotations

from stbench.registry._discovery import Registered, Registry, discover
from stbench.registry._hookspecs import hookimpl
from stbench.registry._imported import definition_path, definitions_folder, imported_names
from stbench.registry._specs import (
    NAME_PATTERN,
    DatasetSpec,
    EncoderSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    Paper,
    ProtocolSpec,
    Published,
    Spec,
    load_object,
)

__all__ = [
    "NAME_PATTERN",
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
    "definition_path",
    "definitions_folder",
    "discover",
    "hookimpl",
    "imported_names",
    "load_object",
]
