from __future__ import annotations

from stbench.testing import parametrize_with_checks


@parametrize_with_checks("st-gchb")
def test_conformance(check) -> None:
    check()
