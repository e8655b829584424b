"""From a request to the cells of the fold matrix."""

from __future__ import annotations

from stbench.matrix.cell import Cell
from stbench.matrix.plan import Plan, Skipped, plan
from stbench.matrix.request import ModelRequest, Request

__all__ = ["Cell", "ModelRequest", "Plan", "Request", "Skipped", "plan"]
