"""What a reproduction says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from stbench.execution.reproduce.differences import Difference

Outcome = Literal["same", "changed", "bit-equal", "within tolerance", "different", "not compared"]
"""``same`` and ``changed`` are said of inputs (data, code), the others of numbers."""

Verdict = Literal["bit-equal", "within tolerance", "different", "fails alike"]


def judge(found: Difference, tolerance: float, other: bool = False) -> Outcome:
    """Outcome of a stage.

    Parameters
    ----------
    other
        Something differs that is no number: other genes, spots or masks.
    """
    if other or found.relative > tolerance:
        return "different"
    return "within tolerance" if found.n_different else "bit-equal"


def worst(outcomes: Iterable[Outcome]) -> Verdict:
    """Verdict over stages; what was not compared has none."""
    seen = set(outcomes)
    return "different" if "different" in seen else "within tolerance" if "within tolerance" in seen else "bit-equal"


@dataclass(frozen=True)
class Change:
    """Something that is not as the record says it was."""

    what: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Stage:
    """One stage of both runs compared.

    Attributes
    ----------
    difference
        Of its numbers; None where none were compared.
    said
        Sentences on what was compared and what differs.
    """

    name: str
    outcome: Outcome
    difference: Difference | None = None
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reproduction:
    """A stored run, the same cell run again, and how they compare.

    Attributes
    ----------
    environment
        Changes since; None where one of the records does not say (a worker that was killed).
    """

    run_id: str
    again: str
    cell_key: str
    cell: str
    verdict: Verdict
    stages: tuple[Stage, ...]
    code: tuple[Change, ...]
    environment: tuple[Change, ...] | None

    @property
    def first_difference(self) -> str | None:
        """The first stage whose numbers are not bit-equal."""
        return next((s.name for s in self.stages if s.outcome in ("within tolerance", "different")), None)

    def to_json(self) -> dict[str, Any]:
        """JSON values; the stable output for scripts."""
        stages = [
            {"stage": s.name, "outcome": s.outcome, "said": list(s.said)}
            | (s.difference.to_json() if s.difference else {})
            for s in self.stages
        ]
        return asdict(self) | {"stages": stages, "first_difference": self.first_difference}
