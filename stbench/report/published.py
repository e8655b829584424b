"""Published numbers beside reproduced ones, under the same protocol and metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stbench.registry import Published, Registry

Key = tuple[str, str, str, str, str, str | None]


@dataclass(frozen=True)
class PublishedNumbers:
    """What papers report, by distribution, model, dataset, protocol, metric and preset.

    Attributes
    ----------
    elsewhere
        What the same papers report of methods that no plugin carries.
    """

    found: dict[Key, Published]
    elsewhere: list[Published]

    def beside(self, row: dict[str, Any]) -> dict[str, Any]:
        """What a leaderboard row gains: the published value, the difference (reproduced − published), and its place."""
        key = (row["distribution"], row["model"], row["dataset"], row["protocol"], row["metric"])
        stated = self.found.get((*key, row["preset"])) or self.found.get((*key, None))
        return {
            "published": stated and stated.value,
            "difference": stated and row["value"] - stated.value,
            "published_where": stated and stated.where,
        }


def published_numbers(registry: Registry) -> PublishedNumbers:
    """Collect what the specs of all installed models state."""
    stated = [(registered, p) for registered in registry.all("model") for p in registered.spec.published]
    return PublishedNumbers(
        {
            (registered.distribution, registered.spec.name, p.dataset, p.protocol, p.metric, p.preset): p
            for registered, p in stated
            if not p.method
        },
        list(dict.fromkeys(p for _, p in stated if p.method)),
    )
