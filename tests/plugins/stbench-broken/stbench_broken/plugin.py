"""A deliberately bad plugin: returns predictions transposed."""

from __future__ import annotations

from stbench.registry import ModelSpec, hookimpl

STBENCH_API = "1"


@hookimpl
def stbench_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="broken",
            factory="stbench_broken.model:Broken",
            params="stbench_broken.model:BrokenParams",
            title="returns predictions transposed",
        )
    ]
