from __future__ import annotations

from stbench.testing import parametrize_with_checks


@parametrize_with_checks("hggep")
def test_conformance(check) -> None:
    check()


@parametrize_with_checks("shufflenet-v2-x0-5")
def test_conformance_of_the_backbone(check) -> None:
    check()
