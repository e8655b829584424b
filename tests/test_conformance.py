"""Whatever stbench itself registers passes the kit that others are held to."""

from __future__ import annotations

import pytest

from stbench.registry import discover
from stbench.testing import checks_of

OWN = [
    registered.qualified + "/" + kind
    for kind, specs in discover().specs.items()
    for registered in specs
    if registered.distribution == "stbench" and kind != "executor" and not getattr(registered.spec, "definition", "")
]


def checks() -> list[object]:
    """Every check of every built-in."""
    found = []
    for name in OWN:
        qualified, _, kind = name.rpartition("/")
        found += [pytest.param(c, id=f"{qualified}-{c.id}") for c in checks_of(qualified, kind)]
    return found


@pytest.mark.parametrize("check", checks())
def test_conformance(check) -> None:
    check()
