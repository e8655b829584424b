"""Published numbers beside reproduced ones, under the same protocol and metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stbench.registry import Published, Registry

Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class PublishedNumbers:
    """What papers report, by distribution, model, dataset, protocol and metric."""

    found: dict[Key, Published]

    def beside(self, row: dict[str, Any]) -> dict[str, Any]:
        """What a leaderboard row gains: the published value, the difference (reproduced − published), and its place."""
        key = tuple(row[name] for name in ("distribution", "model", "dataset", "protocol", "metric"))
        stated = self.found.get(key)
        return {
            "published": stated and stated.value,
            "difference": stated and row["value"] - stated.value,
            "published_where": stated and stated.where,
        }


def published_numbers(registry: Registry) -> PublishedNumbers:
    """Collect what the specs of all installed models state."""
    return PublishedNumbers(
        {
            (registered.distribution, registered.spec.name, p.dataset, p.protocol, p.metric): p
            for registered in registry.all("model")
            for p in registered.spec.published
        }
    )
