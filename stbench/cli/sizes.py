"""Sizes as people write and read them."""

from __future__ import annotations

import re

from stbench.errors import UsageError

UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


def parse_size(text: str) -> int:
    """Bytes of ``50GB``, ``50GiB``, ``500 MB`` or ``0``."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    if not match or match[2].lower() not in UNITS:
        raise UsageError(f"cannot read the size {text!r}; write 50GB, 50GiB or 500MB")
    return int(float(match[1]) * UNITS[match[2].lower()])


def show_size(size: int) -> str:
    """Bytes in the largest unit that leaves a number above one: ``1.4 GB``."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.95:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
