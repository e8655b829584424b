"""The metric that each protocol shows first."""

from __future__ import annotations

from collections.abc import Iterable

from stbench.registry import Registry


def headlines(registry: Registry, protocols: Iterable[str]) -> dict[str, str]:
    """Headline metric of each protocol that is installed here."""
    known = registry.names("protocol")
    return {name: registry.get("protocol", name).spec.load().headline for name in protocols if name in known}
