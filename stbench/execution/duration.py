"""Time limits as people write them."""

from __future__ import annotations

import re

from stbench.errors import UsageError

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``30m``, ``4h`` or ``1d``."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)", text.strip())
    if not match or float(match[1]) <= 0:
        raise UsageError(f"cannot read the time limit {text!r}; write 90s, 30m or 4h")
    return float(match[1]) * SECONDS[match[2]]
