"""A deliberately bad plugin: draws from an unseeded generator."""

from __future__ import annotations

from stbench.registry import ModelSpec, hookimpl

STBENCH_API = "1"


@hookimpl
def stbench_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="nondeterministic",
            factory="stbench_nondeterministic.model:Nondeterministic",
            params="stbench_nondeterministic.model:NondeterministicParams",
            title="draws from an unseeded generator",
        )
    ]
