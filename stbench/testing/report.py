"""Running the checks of a subject and saying what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stbench import __version__
from stbench.errors import UsageError
from stbench.testing.check import Check, Outcome, expected
from stbench.versions import API_VERSION, KIT_VERSION


class ConformanceError(AssertionError):
    """A subject that failed checks; the message lists them."""


@dataclass(frozen=True)
class Report:
    """Outcomes of all checks of one subject.

    Attributes
    ----------
    subject
        Kind and name: ``model tinycnn``.
    complete
        All checks were asked for.
    """

    subject: str
    outcomes: tuple[Outcome, ...]
    complete: bool = True

    @property
    def failed(self) -> list[Outcome]:
        """Checks that failed without being declared."""
        return [o for o in self.outcomes if o.status == "failed"]

    @property
    def verdict(self) -> str:
        """``conformant``, ``not conformant``, or ``not settled``: not all were asked for, or most could not be run."""
        if self.failed:
            return "not conformant"
        skipped = sum(o.status in ("skipped", "blocked") for o in self.outcomes)
        return "conformant" if self.complete and 2 * skipped < len(self.outcomes) else "not settled"

    def require(self) -> Report:
        """Raise `ConformanceError` if a check failed; return the report otherwise."""
        if self.failed:
            lines = "\n".join(f"  {o.id}: {o.message}" for o in self.failed)
            raise ConformanceError(f"{self.subject} fails {len(self.failed)} of {len(self.outcomes)} checks\n{lines}")
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the versions of the kit and of the interface it checks."""
        return {
            "subject": self.subject,
            "verdict": self.verdict,
            "kit_version": KIT_VERSION,
            "api_version": API_VERSION,
            "stbench_version": __version__,
            "checks": [asdict(o) for o in self.outcomes],
        }


def run(
    checks: Sequence[Check],
    *,
    only: Sequence[str] | None = None,
    xfail: Mapping[str, str] | None = None,
    each: Callable[[Outcome], None] = lambda outcome: None,
) -> Report:
    """Run checks of one subject.

    Parameters
    ----------
    only
        Ids to run; None for all.
    xfail
        Ids that are known to fail, with the reason.
    each
        Called with every outcome as it comes.

    Raises
    ------
    UsageError
        An id that no check has.
    """
    known = [check.id for check in checks]
    for name in (*(only or ()), *(xfail or {})):
        if name not in known:
            raise UsageError(f"{checks[0].subject} has no check {name!r}; it has: {', '.join(known)}")
    outcomes = []
    for check in checks:
        if only is None or check.id in only:
            outcomes.append(expected(check.outcome(), xfail or {}))
            each(outcomes[-1])
    return Report(checks[0].subject, tuple(outcomes), complete=only is None)
