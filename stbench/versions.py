"""The version numbers that other people's files and plugins depend on."""

from __future__ import annotations

API_VERSION = "1"
"""Plugins state the host interface they were written for as ``STBENCH_API``."""

NUMERICS = "1"
"""Part of every cell key: raised when stbench itself changes a number it computes."""

SCHEMA_VERSION = 1
"""Version of the store's files (`stbench.store.schema`)."""

KIT_VERSION = "1"
"""Version of the conformance kit (`stbench.testing`): raised when a check is added, removed or made stricter."""
