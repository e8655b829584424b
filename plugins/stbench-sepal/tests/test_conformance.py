from __future__ import annotations

import pytest

from stbench.testing import parametrize_with_checks


@parametrize_with_checks("sepal")
def test_sepal_conforms(check) -> None:
    check()


@parametrize_with_checks("vit-delta-s7")
def test_vit_delta_s7_conforms(check) -> None:
    check()


@pytest.mark.slow  # the class of vit-delta-s7, trained for longer
@parametrize_with_checks("vit")
def test_vit_conforms(check) -> None:
    check()


@pytest.mark.slow
@parametrize_with_checks("vit-delta")
def test_vit_delta_conforms(check) -> None:
    check()
