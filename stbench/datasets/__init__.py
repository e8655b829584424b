"""Datasets: named collections of slides with a content revision."""

from __future__ import annotations

from stbench.datasets.contract import DataFile, Dataset, DatasetContext

__all__ = ["DataFile", "Dataset", "DatasetContext"]
