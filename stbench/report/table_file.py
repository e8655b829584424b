"""Writing the answer to a question as a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv")


def check_suffix(path: Path) -> None:
    """Raise `UsageError` if there is no format for this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"-o {path} is neither .parquet nor .csv; give the file one of these names")


def write_table(batches: pa.RecordBatchReader, path: Path) -> int:
    """Write batches into a Parquet or CSV file, which is there when it is complete; returns the number of rows.

    Raises
    ------
    UsageError
        Another suffix, or columns that CSV has no form for.
    StoreError
        The file cannot be written.
    """
    check_suffix(path)
    _check_columns(path, batches.schema)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    rows = 0
    try:
        with _writer(path.suffix.lower(), partial, batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        os.replace(partial, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error})") from error
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _check_columns(path: Path, shape: pa.Schema) -> None:
    import pyarrow as pa

    nested = [column.name for column in shape if pa.types.is_nested(column.type)]
    if nested and path.suffix.lower() == ".csv":
        raise UsageError(f"-o {path}: CSV has no form for {', '.join(nested)}; write .parquet, or select plain columns")


def _writer(suffix: str, path: Path, shape: pa.Schema) -> Any:
    if suffix == ".csv":
        from pyarrow import csv

        return csv.CSVWriter(path, shape)
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, shape, compression="zstd")
