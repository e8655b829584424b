from __future__ import annotations

import pytest

from stbench.testing import parametrize_with_checks


@pytest.mark.slow
@parametrize_with_checks("hggep")
def test_conformance(check) -> None:
    check()


@parametrize_with_checks("shufflenet-v2-x0-5")
def test_conformance_of_the_backbone(check) -> None:
    check()
