"""A check: a name, why it exists, and a function that raises when the subject breaks its contract."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar
from unittest import SkipTest

Status = Literal["passed", "failed", "skipped", "blocked", "xfailed", "xpassed"]
S = TypeVar("S")


class DoesNotApply(SkipTest):
    """Raised by a check that has nothing to look at; pytest shows it as skipped."""


class Blocked(SkipTest):
    """Raised instead of a check that needs another one to pass first."""


@dataclass(frozen=True)
class Outcome:
    """What became of one check.

    Attributes
    ----------
    status
        ``passed``, ``failed``, ``skipped`` (does not apply), ``blocked`` (a check it needs failed), or, with a declared
        expectation, ``xfailed`` (failed as declared) and ``xpassed`` (did not).
    message
        What is wrong and what to do; the reason if it did not run.
    details
        Traceback of an unexpected exception.
    """

    id: str
    why: str
    status: Status
    seconds: float
    message: str = ""
    details: str = ""


@dataclass(frozen=True)
class Definition(Generic[S]):
    """A check before it has a subject."""

    id: str
    why: str
    needs: tuple[str, ...]
    function: Callable[[S], None]


class Check:
    """One check of one subject: call it, as pytest does, or ask for its `outcome`.

    Attributes
    ----------
    id
        Name of the check.
    subject
        What is checked: ``model tinycnn``.
    why
        What goes wrong for users of a subject that fails.
    """

    def __init__(self, id: str, subject: str, why: str, function: Callable[[], None], needs: tuple[Check, ...]) -> None:
        self.id = id
        self.subject = subject
        self.why = why
        self._function = function
        self._needs = needs
        self._outcome: Outcome | None = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return f"Check({self.subject}: {self.id})"

    def __call__(self) -> None:
        """Run the check; raises what it found."""
        self.outcome()
        if self._error is not None:
            raise self._error

    def outcome(self) -> Outcome:
        """Run the check, once, and say what became of it."""
        if self._outcome is None:
            started = time.perf_counter()
            status, message, details = self._run()
            self._outcome = Outcome(self.id, self.why, status, time.perf_counter() - started, message, details)
        return self._outcome

    def _run(self) -> tuple[Status, str, str]:
        try:
            for need in self._needs:
                if need.outcome().status in ("failed", "blocked"):
                    raise Blocked(f"needs {need.id}, which did not pass")
            self._function()
        except Blocked as error:
            self._error = error
            return "blocked", str(error), ""
        except SkipTest as error:
            self._error = error
            return "skipped", str(error), ""
        except AssertionError as error:
            self._error = error
            return "failed", str(error), ""
        except Exception as error:  # a plugin may raise anything
            self._error = error
            return "failed", f"{type(error).__name__}: {error}", traceback.format_exc()
        return "passed", "", ""


@dataclass
class Checks(Generic[S]):
    """The named checks of one kind of plugin, in the order they run.

    >>> checks = Checks("greeting")
    >>> @checks.add("a greeting that is empty greets nobody")
    ... def is_not_empty(greeting: str) -> None:
    ...     assert greeting, "the greeting is empty"
    >>> [check.outcome().status for check in checks.of("hello", "hello")]
    ['passed']
    """

    kind: str
    definitions: list[Definition[S]] = field(default_factory=list)

    def add(self, why: str, *, needs: tuple[str, ...] = ()) -> Callable[[Callable[[S], None]], Callable[[S], None]]:
        """Register a function as a check named like it."""

        def register(function: Callable[[S], None]) -> Callable[[S], None]:
            self.definitions.append(Definition(function.__name__, why, needs, function))
            return function

        return register

    def of(self, subject: S, name: str) -> list[Check]:
        """Bind all checks to a subject."""
        bound: dict[str, Check] = {}
        for definition in self.definitions:
            needs = tuple(bound[need] for need in definition.needs)
            bound[definition.id] = Check(
                definition.id, f"{self.kind} {name}", definition.why, _partial(definition.function, subject), needs
            )
        return list(bound.values())


def _partial(function: Callable[[S], None], subject: S) -> Callable[[], None]:
    return lambda: function(subject)


def expected(outcome: Outcome, xfail: Mapping[str, str]) -> Outcome:
    """Return the outcome as seen by someone who declared which checks fail, and why."""
    reason = xfail.get(outcome.id)
    if reason is None or outcome.status not in ("passed", "failed"):
        return outcome
    status: Status = "xfailed" if outcome.status == "failed" else "xpassed"
    said = f"{reason} ({outcome.message})" if outcome.message else reason
    return Outcome(outcome.id, outcome.why, status, outcome.seconds, said, outcome.details)
