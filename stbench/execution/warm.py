"""Imported by the fork server, last: what numba does once per process before it runs anything, so that no cell need."""

from __future__ import annotations

from contextlib import suppress

with suppress(Exception):  # numba's inside: where it has changed, a cell takes a third of a second longer
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
