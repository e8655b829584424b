"""The store: a folder of Parquet files that holds all runs; Parquet is the truth, DuckDB only reads it."""

from __future__ import annotations

from stbench.store.layout import Layout
from stbench.store.reader import Store
from stbench.store.record import RunRecord
from stbench.store.writer import RunWriter

__all__ = ["Layout", "RunRecord", "RunWriter", "Store"]
