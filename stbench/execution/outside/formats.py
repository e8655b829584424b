"""Reading the columns that matter of a Parquet or CSV file, names as dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from stbench.errors import DataError


def read_columns(path: Path, *, required: Sequence[str], optional: Sequence[str], numbers: Sequence[str]) -> pa.Table:
    """Read the columns asked for, and no others.

    Parameters
    ----------
    numbers
        Columns that a CSV file is to hold numbers in; the others are text, whatever they look like.

    Raises
    ------
    DataError
        Another kind of file, one that cannot be read, or one without a required column.
    """
    name = path.name.lower()
    form: type[_Parquet] | type[_Csv]
    if name.endswith(".parquet"):
        form = _Parquet
    elif name.endswith((".csv", ".csv.gz")):
        form = _Csv
    else:
        raise DataError(f"{path} is neither .parquet, .csv nor .csv.gz; write the predictions as one of these")
    try:
        found = form.columns(path)
        missing = [name for name in required if name not in found]
        if missing:
            raise DataError(f"{path} has no column {', '.join(missing)}; it has {', '.join(found) or 'none'}")
        return form.read(path, [name for name in (*required, *optional) if name in found], numbers)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}); write it again") from error


class _Parquet:
    @staticmethod
    def columns(path: Path) -> list[str]:
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)

    @staticmethod
    def read(path: Path, columns: Sequence[str], numbers: Sequence[str]) -> pa.Table:
        import pyarrow.parquet as pq

        kinds = pq.read_schema(path)
        text = [name for name in columns if name not in numbers and pa.types.is_string(kinds.field(name).type)]
        return pq.read_table(path, columns=list(columns), read_dictionary=text, partitioning=None)


class _Csv:
    @staticmethod
    def columns(path: Path) -> list[str]:
        from pyarrow import csv

        with csv.open_csv(path) as reader:
            return list(reader.schema.names)

    @staticmethod
    def read(path: Path, columns: Sequence[str], numbers: Sequence[str]) -> pa.Table:
        from pyarrow import csv

        text = pa.dictionary(pa.int32(), pa.string())
        types: dict[str, Any] = {name: pa.float64() if name in numbers else text for name in columns}
        options = csv.ConvertOptions(include_columns=list(columns), column_types=types)
        return csv.read_csv(path, convert_options=options)
