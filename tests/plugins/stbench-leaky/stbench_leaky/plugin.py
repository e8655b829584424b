"""A deliberately bad plugin: reads the test slide's expression from a file beside the image."""

from __future__ import annotations

from stbench.registry import ModelSpec, hookimpl

STBENCH_API = "1"


@hookimpl
def stbench_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="leaky",
            factory="stbench_leaky.model:Leaky",
            params="stbench_leaky.model:LeakyParams",
            title="reads the test slide's expression from a file beside the image",
        )
    ]
