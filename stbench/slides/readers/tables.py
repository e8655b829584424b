"""Count tables and coordinate tables: delimited text, plain or gzipped."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from stbench.errors import DataError
from stbench.slides.readers.assemble import refuse_duplicates

if TYPE_CHECKING:
    from pandas import DataFrame

SUFFIXES = (".tsv", ".csv", ".txt", ".tab")
PIXEL_COLUMNS = (
    ("pixel_x", "pixel_y"),
    ("x_pixel", "y_pixel"),
    ("x_px", "y_px"),
    ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("imagecol", "imagerow"),
)
"""Names of the columns that hold spot centres (x, y) in pixels, in any case; the first pair found counts."""

ARRAY_COLUMNS = (("array_row", "array_col"), ("row", "col"))
"""Names of the columns that hold array coordinates (row, column)."""

TISSUE_COLUMNS = ("in_tissue", "selected")
REGION_COLUMNS = ("region", "layer", "layer_guess", "label", "annotation", "ground_truth", "cluster_label")
"""Names of the column that holds anatomical or pathological regions as text; the first found counts."""

_BLOCK = 1 << 26  # bytes pyarrow reads at once; a row of the table must fit


def find_columns(columns: Iterable[str], choices: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Return the first choice whose names are all among the columns, in the columns' own spelling."""
    spelled = {str(column).strip().lower(): column for column in reversed(list(columns))}
    return next((tuple(spelled[n] for n in names) for names in choices if all(n in spelled for n in names)), None)


def is_table(path: Path) -> bool:
    """Whether the name is that of delimited text."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(SUFFIXES) and not name.startswith(".") and path.is_file()


def peek(path: Path) -> tuple[list[str], list[str]]:
    """Cells of the header and of the first row.

    A header one cell short (as R writes it) gets an empty first cell: the column of names.

    Raises
    ------
    DataError
        A file that cannot be read or has no two lines of text.
    """
    try:
        with _open(path) as file:
            lines = [file.readline(), file.readline()]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is truncated or not a table ({error}); fetch it again") from error
    if not lines[1].strip():
        raise DataError(f"{path} has no rows below its header; fetch it again")
    header, row = (next(csv.reader([line.rstrip("\r\n")], delimiter=_delimiter(lines[0]))) for line in lines)
    return ["", *header] if len(header) == len(row) - 1 else header, row


def read_counts(path: Path) -> tuple[Any, list[str], list[str]]:
    """Read a table of numbers with names in the first column and in the header.

    Returns
    -------
    (rows, columns) CSR matrix of float64, whose values are not checked; names of the rows; names of the columns.

    Raises
    ------
    DataError
        A table that is cut off, ragged or holds text.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv
    from scipy.sparse import csc_matrix

    header, row = peek(path)
    with _open(path) as file:
        delimiter = _delimiter(file.readline())
    if len(header) < 2:
        raise DataError(f"{path}: no columns were found; separate them by tabs or commas")
    if len(row) != len(header):
        raise DataError(f"{path}: the header has {len(header)} cells, the first row {len(row)}; fetch it again")
    places = [str(i) for i in range(len(header))]  # not the names: they may appear twice
    types = dict.fromkeys(places[1:], pa.float64()) | {"0": pa.string()}
    try:
        table = arrow_csv.read_csv(
            path,
            read_options=arrow_csv.ReadOptions(column_names=places, skip_rows=1, block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter),
            convert_options=arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        reason = str(error).splitlines()[0][:200]
        raise DataError(f"{path} is truncated or not a table of counts ({reason}); fetch it again") from error
    columns = [column.to_numpy() for column in table.columns[1:]]
    filled = [np.flatnonzero(column) for column in columns]  # NaN counts as filled
    matrix = csc_matrix(
        (
            np.concatenate([column[rows] for column, rows in zip(columns, filled, strict=True)]),
            np.concatenate(filled),
            np.cumsum([0, *map(len, filled)]),
        ),
        shape=(table.num_rows, len(columns)),
    )
    return matrix.tocsr(), [str(name) for name in table.column(0).to_pylist()], header[1:]


def read_columns(path: Path) -> DataFrame:
    """Read a table with a header; every cell is text, empty where missing.

    Raises
    ------
    DataError
        A table that is cut off or ragged.
    """
    import pandas as pd

    header, _ = peek(path)
    try:
        with _open(path) as file:
            delimiter = _delimiter(file.readline())
            rows = [row for row in csv.reader(file, delimiter=delimiter) if row]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is truncated or not a table ({error}); fetch it again") from error
    ragged = next((n for n, row in enumerate(rows, start=1) if len(row) != len(header)), None)
    if ragged is not None:
        cells = f"row {ragged} has {len(rows[ragged - 1])} cells, the header {len(header)}"
        raise DataError(f"{path}: {cells}; the file may be truncated, fetch it again")
    refuse_duplicates(path, "column", header)
    return pd.DataFrame(rows, columns=header, dtype=str)


def numbers(path: Path, table: DataFrame, columns: Sequence[str]) -> Any:
    """Columns of a table as (rows, columns) float64.

    Raises
    ------
    DataError
        Cells that are empty or not finite numbers.
    """
    try:
        values = np.array([[float(cell) for cell in table[column]] for column in columns]).T
    except ValueError as error:
        raise DataError(f"{path}: columns {', '.join(columns)} must be numbers ({error}); correct them") from error
    if not np.isfinite(values).all():
        raise DataError(f"{path}: columns {', '.join(columns)} hold NaN; remove those rows or fill them in")
    return values


def _open(path: Path) -> TextIO:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8-sig") if is_gzip else path.open(encoding="utf-8-sig")


def _delimiter(header: str) -> str:
    return max("\t,;", key=header.count)
