"""What a report says when its checks were not all run."""

from __future__ import annotations

from collections.abc import Callable
from unittest import SkipTest

import pytest

from stbench.testing.check import Check
from stbench.testing.report import run


def passes() -> None:
    pass


def fails() -> None:
    raise AssertionError("wrong")


def cannot_run() -> None:
    raise SkipTest("no data here")


def checks(*functions: Callable[[], None]) -> list[Check]:
    return [Check(f"check{i}", "model m", "why", function, ()) for i, function in enumerate(functions)]


@pytest.mark.parametrize(
    ("functions", "verdict"),
    [
        ((passes, passes), "conformant"),
        ((passes, passes, cannot_run), "conformant"),
        ((passes, cannot_run, cannot_run), "not settled"),
        ((cannot_run,), "not settled"),
        ((fails, cannot_run, cannot_run), "not conformant"),
    ],
)
def test_what_was_not_run_settles_nothing(functions: tuple[Callable[[], None], ...], verdict: str) -> None:
    assert run(checks(*functions)).verdict == verdict


def test_a_choice_of_checks_settles_nothing_unless_one_fails() -> None:
    assert run(checks(passes, passes), only=["check0"]).verdict == "not settled"
    assert run(checks(passes, fails), only=["check1"]).verdict == "not conformant"
