from __future__ import annotations

from stbench.testing import parametrize_with_checks


@parametrize_with_checks("bleep")
def test_conformance(check) -> None:
    check()


@parametrize_with_checks("random-retrieval")
def test_conformance_of_the_control(check) -> None:
    check()
