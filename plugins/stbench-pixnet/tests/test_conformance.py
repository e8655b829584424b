from __future__ import annotations

import pytest

from stbench.testing import parametrize_with_checks


@pytest.mark.slow
@parametrize_with_checks("pixnet")
def test_conformance(check) -> None:
    check()
