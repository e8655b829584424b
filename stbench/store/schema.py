"""Schemas of the store's files, version `stbench.versions.SCHEMA_VERSION`. The one place that knows columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

NAME = pa.dictionary(pa.int32(), pa.string())

MARKS = ("hvg50", "heg50", "marker")
"""Columns of ``var`` that mark genes of a panel."""

_MOMENTS = [
    ("n", pa.int64()),
    ("mean_true", pa.float64()),
    ("mean_pred", pa.float64()),
    ("ss_true", pa.float64()),
    ("ss_pred", pa.float64()),
    ("cross", pa.float64()),
    ("sum_abs", pa.float64()),
    *((name, pa.bool_()) for name in MARKS),
]

MOMENTS = pa.schema([("run_id", NAME), ("split", NAME), ("slide", NAME), ("gene", NAME), *_MOMENTS])
"""One row per split, slide and gene; `hvg50` and `heg50` mark panel genes chosen on training spots, `marker`
known marker genes (null where the protocol marks none, absent in the oldest stores)."""

METRICS = pa.schema(
    [
        ("run_id", NAME),
        ("split", NAME),
        ("slide", NAME),
        ("gene", pa.string()),
        ("metric", NAME),
        ("version", NAME),
        ("value", pa.float64()),
        ("n_obs", pa.int64()),
        ("undefined_reason", pa.string()),
    ]
)
"""What moments cannot give; `gene` is null for values that describe the slide."""

PREDICTIONS = pa.schema(
    [
        ("run_id", NAME),
        ("truth_key", NAME),
        ("slide", NAME),
        ("gene", NAME),
        ("spot_row", pa.int32()),
        ("y_pred", pa.float32()),
        ("y_std", pa.float32()),
    ]
)
"""Sorted by slide and gene; `spot_row` is the row of the truth's spot table."""

POINTS = pa.schema(
    [
        ("run_id", NAME),
        ("slide", NAME),
        ("gene", NAME),
        ("x_px", pa.float32()),
        ("y_px", pa.float32()),
        ("side_um", pa.float32()),
        ("y_pred", pa.float32()),
    ]
)
"""Predictions away from the spots, sorted by slide and gene, points of a gene in one order."""

TRUTH = pa.schema(
    [
        ("truth_key", NAME),
        ("slide", NAME),
        ("gene", NAME),
        ("spot_row", pa.int32()),
        ("y_true", pa.float32()),
        ("measured", pa.bool_()),
    ]
)

SPOTS = pa.schema(
    [
        ("truth_key", NAME),
        ("spot_row", pa.int32()),
        ("spot", pa.string()),
        ("x_px", pa.float64()),
        ("y_px", pa.float64()),
        ("array_row", pa.float64()),
        ("array_col", pa.float64()),
        ("region", pa.string()),
    ]
)

SLIDE_INFO = "stbench.slide_info"
"""Key of the slide's `SlideInfo`, as JSON, in the metadata of ``spots.parquet``; absent in the oldest stores."""

GENE_SYMBOLS = "stbench.gene_symbols"
"""Key, in the same place, of the symbols of the panel's genes, a JSON object; genes named by their symbol have none."""

SOURCE = "source"
"""Column of the index: number of the folder that a row is from."""

REFERENCES = pa.schema([("truth_key", NAME), ("reference", NAME), ("slide", NAME), ("gene", NAME), *_MOMENTS])
"""Moments of references computed from the truth; drawn as a line, never ranked."""

PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "write_page_checksum": True,
    "use_dictionary": [
        "run_id",
        "truth_key",
        "reference",
        "split",
        "slide",
        "gene",
        "metric",
        "version",
        "x_px",
        "y_px",
        "side_um",
    ],
    "column_encoding": {
        "spot_row": "DELTA_BINARY_PACKED",
        "y_pred": "BYTE_STREAM_SPLIT",
        "y_true": "BYTE_STREAM_SPLIT",
    },
}
"""Writer options; encodings of columns a table does not have are dropped."""


def writer_options(schema: pa.Schema) -> dict[str, Any]:
    """Parquet writer options for one of the schemas."""
    names = set(schema.names)
    return {
        "compression": PARQUET["compression"],
        "write_page_checksum": PARQUET["write_page_checksum"],
        "use_dictionary": [n for n in PARQUET["use_dictionary"] if n in names],
        "column_encoding": {n: e for n, e in PARQUET["column_encoding"].items() if n in names},
    }
