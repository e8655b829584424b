"""A deliberately bad plugin: takes its time over every slide."""

from __future__ import annotations

from stbench.registry import ModelSpec, hookimpl

STBENCH_API = "1"


@hookimpl
def stbench_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="slow",
            factory="stbench_slow.model:Slow",
            params="stbench_slow.model:SlowParams",
            title="takes its time over every slide",
        )
    ]
