"""Parameters, importable without torch."""

from __future__ import annotations

from pydantic import Field

from stbench.models import Params


class ForestParams(Params):
    n_trees: int = Field(100, ge=1, description="trees")
    microns: float = Field(100.0, gt=0, description="tissue side of a patch, µm")
