"""From a request to the cells of the fold matrix."""

from __future__ import annotations

from stbench.matrix.cell import Cell
from stbench.matrix.fold_task import FoldTask
from stbench.matrix.plan import Plan, plan
from stbench.matrix.request import ModelRequest, Request
from stbench.matrix.resources import Resources
from stbench.matrix.tasks import Skipped, Tasks, plan_tasks

__all__ = ["Cell", "FoldTask", "ModelRequest", "Plan", "Request", "Resources", "Skipped", "Tasks", "plan", "plan_tasks"]
