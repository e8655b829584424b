from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stbench.datasets import DatasetContext
from stbench.execution import RunOptions
from stbench.matrix import Cell, ModelRequest, Request, plan
from stbench.registry import Registry


class Toys:
    """Cells of the toy dataset, and options to run them with."""

    def __init__(self, registry: Registry, cache_dir: Path, store: Path) -> None:
        self.registry = registry
        self.cache_dir = cache_dir
        self.options = RunOptions(store=store, cache_dir=cache_dir, device="cpu")

    @property
    def store(self) -> Path:
        return self.options.store

    def cell(self, model: str, fold: str = "P1", **request: Any) -> Cell:
        """The first planned cell of a model."""
        asked = {"datasets": ("toy",), "folds": fold} | request
        planned = plan([Request(models=(ModelRequest(model),), **asked)], self.registry, DatasetContext(self.cache_dir))
        return planned.cells[0]


@pytest.fixture
def toys(registry: Registry, cache_dir: Path, tmp_path: Path) -> Toys:
    return Toys(registry, cache_dir, tmp_path / "store")
