"""Telling what a module's import costs everyone who plans."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

HEAVY = ("torch", "lightning", "scanpy", "timm", "torchvision")
"""Libraries whose import takes seconds."""


def require_cheap(modules: Sequence[str], remedy: str) -> None:
    """Raise AssertionError if importing modules, in a process of its own, fails or imports a heavy library."""
    code = (
        f"import sys, importlib; sys.path[:] = {sys.path!r}\n"
        f"for name in {list(modules)!r}: importlib.import_module(name)\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, f"{', '.join(modules)} cannot be imported:\n{done.stderr[-2000:]}"
    assert not done.stdout.strip(), f"importing {', '.join(modules)} imports {done.stdout.strip()}; {remedy}"
