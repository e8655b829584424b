"""What the store knows of a scored slide beside its spots."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from stbench.store import schema
from stbench.store.layout import Layout


@lru_cache(maxsize=4096)
def slide_info(layout: Layout, truth_key: str) -> dict[str, Any]:
    """Fields of the slide's `SlideInfo`; none of them in the oldest stores, or where the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(layout.truth_folder(truth_key) / "spots.parquet").metadata or {}
    except (OSError, pa.ArrowException):
        return {}
    stated: dict[str, Any] = json.loads(metadata.get(schema.SLIDE_INFO.encode(), b"{}"))
    return stated
