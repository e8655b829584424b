"""Symbols of the genes that runs were scored on."""

from __future__ import annotations

import json
from collections.abc import Iterable

from stbench.store import schema
from stbench.store.layout import Layout


def gene_symbols(layout: Layout, truth_keys: Iterable[str]) -> dict[str, str]:
    """Symbol of each gene whose name is another: what the truths say, so nothing in the oldest stores."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[str, str] = {}
    for key in truth_keys:
        try:
            metadata = pq.read_schema(layout.truth_folder(key) / "spots.parquet").metadata or {}
        except (OSError, pa.ArrowException):
            continue  # the reader reports damaged files
        found |= json.loads(metadata.get(schema.GENE_SYMBOLS.encode(), b"{}"))
    return found
