"""A folder with a count table, a coordinate table and an image: how many labs and repositories hand out sections.

Counts: spots × genes (or genes × spots) with names in the first column and the header. Coordinates: a header with
pixel columns (`PIXEL_COLUMNS`), and where known array columns (`ARRAY_COLUMNS`, or x and y), in_tissue or selected,
and a region (`REGION_COLUMNS`). Spots are matched by a column of names, or by ``XxY`` made of x and y.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides.readers import tables
from stbench.slides.readers.array_kind import tell_array
from stbench.slides.readers.assemble import CENTERS_AS_ARRAY, assemble, refuse_duplicates
from stbench.slides.readers.images import images_in
from stbench.slides.readers.section import Section

if TYPE_CHECKING:
    from pandas import DataFrame

NAME_COLUMNS = (("spot",), ("barcode",), ("spot_id",), ("id",), ("name",), ("",), ("unnamed: 0",))


def find_plain(folder: Path) -> tuple[Path, Path, Path | None] | None:
    """Find count table, coordinate table and image by content.

    The coordinate table has pixel columns; a row or column of the count table is named like one of its spots. With
    several images none is chosen.

    Raises
    ------
    DataError
        Several count or coordinate tables that belong together.
    """
    if not folder.is_dir():
        return None
    heads = {path: head for path in sorted(folder.iterdir()) if tables.is_table(path) and (head := _peek(path))}
    places = [path for path, (header, _) in heads.items() if tables.find_columns(header, tables.PIXEL_COLUMNS)]
    pairs = []
    for coordinates in places:
        names = {name for names in _possible_names(tables.read_columns(coordinates)) for name in names}
        counted = [
            path for path, (header, row) in heads.items() if path not in places and names & {row[0], *header[1:]}
        ]
        pairs += [(counts, coordinates) for counts in counted]
    if not pairs:
        return None
    if len(pairs) > 1:
        named = ", ".join(sorted({path.name for pair in pairs for path in pair}))
        raise DataError(f"{folder} holds several tables of one kind ({named}); keep one count and one coordinate table")
    images = images_in(folder)
    return *pairs[0], images[0] if len(images) == 1 else None


def read_plain(counts: Path, coordinates: Path, image: Path | None) -> Section:
    """Read one section.

    Parameters
    ----------
    counts, coordinates, image
        Files; coordinates are in pixels of the image.

    Raises
    ------
    DataError
        Tables that are damaged, hold something else than counts, or do not belong together.
    """
    table = tables.read_columns(coordinates)
    pixels = tables.find_columns(table.columns, tables.PIXEL_COLUMNS)
    if pixels is None:
        wanted = "; ".join("/".join(pair) for pair in tables.PIXEL_COLUMNS)
        raise DataError(f"{coordinates}: no pixel columns ({wanted}); found {', '.join(table.columns)}; rename them")
    matrix, rows, columns = tables.read_counts(counts)
    names, by_column = _match(table, rows, columns, f"{counts} and {coordinates}")
    if by_column:
        matrix, rows, columns = matrix.T.tocsr(), columns, rows
    refuse_duplicates(coordinates, "spot", names)
    refuse_duplicates(counts, "spot", rows)
    index = {name: i for i, name in enumerate(names)}
    counted = [i for i, name in enumerate(rows) if name in index]
    order = [index[rows[i]] for i in counted]
    found = table.iloc[order]
    spots = [rows[i] for i in counted]

    notes = [f"{counts.name} is genes × spots: transposed"] if by_column else []
    notes += _left_out(len(rows) - len(counted), len(names) - len(counted))
    centers = tables.numbers(coordinates, found, pixels)
    exact = _array_of(coordinates, found)
    array, about_array = _positions(exact)
    kind = tell_array(exact if array is not None else None, centers, spots)
    adata = assemble(
        counts, matrix[counted], spots, columns, centers,
        array=array if array is not None else exact, in_tissue=_in_tissue(coordinates, found), region=_region(found),
    )  # fmt: skip
    mpp, source, odd = kind.scale.mpp, kind.scale.source, kind.scale.notes
    said = (*notes, *about_array, *odd)
    return Section(adata, image, mpp, source, kind.spot_um, "circle", kind.grid, kind.technology, said)


def _peek(path: Path) -> tuple[list[str], list[str]] | None:
    try:
        return tables.peek(path)
    except DataError:
        return None


def _possible_names(table: DataFrame) -> Iterator[list[str]]:
    """What the spots may be called: by a column of names, or by x and y as written or rounded half to even."""
    if named := tables.find_columns(table.columns, NAME_COLUMNS):
        yield table[named[0]].tolist()
    if xy := tables.find_columns(table.columns, (("x", "y"),)):
        x, y = (table[column].tolist() for column in xy)
        yield [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
        try:
            yield [f"{round(float(a))}x{round(float(b))}" for a, b in zip(x, y, strict=True)]
        except (ValueError, OverflowError):
            return


def _match(table: DataFrame, rows: list[str], columns: list[str], where: str) -> tuple[list[str], bool]:
    """Spot names of the coordinate table that the count table knows best, and whether as columns."""
    options = [
        (len(set(names) & set(counted)), names, by_column)
        for by_column, counted in ((False, rows), (True, columns))
        for names in _possible_names(table)
    ]
    matches, names, by_column = max(options, key=lambda option: option[0], default=(0, [], False))
    if not matches:
        raise DataError(
            f"{where}: no spot of one is in the other; name the spots alike (column spot, or XxY from x and y)"
        )
    return names, by_column


def _array_of(path: Path, table: DataFrame) -> NDArray[np.float64] | None:
    """Array coordinates (row, column) as the table has them."""
    found = tables.find_columns(table.columns, (*tables.ARRAY_COLUMNS, ("y", "x")))
    return None if found is None else np.asarray(tables.numbers(path, table, found))


def _positions(exact: NDArray[np.float64] | None) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Array coordinates rounded to whole positions, where that keeps the spots apart."""
    if exact is None:
        return None, [CENTERS_AS_ARRAY]
    whole = np.around(exact)
    if len(np.unique(whole, axis=0)) < len(whole):
        return None, ["rounded array coordinates coincide; the spots are taken to have no grid"]
    adjusted = not np.array_equal(whole, exact)
    return whole, ["array coordinates are fractional (adjusted); positions are rounded"] if adjusted else []


def _in_tissue(path: Path, table: DataFrame) -> NDArray[np.bool_] | None:
    found = tables.find_columns(table.columns, [(name,) for name in tables.TISSUE_COLUMNS])
    if found is None:
        return None
    truth = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
    values = [truth.get(text.strip().lower()) for text in table[found[0]]]
    if None in values:
        raise DataError(f"{path}: column {found[0]} must hold 0 or 1 in every row; correct it")
    return np.array(values, bool)


def _region(table: DataFrame) -> list[Any] | None:
    found = tables.find_columns(table.columns, [(name,) for name in tables.REGION_COLUMNS])
    return None if found is None else [text if text not in ("", "NA", "nan") else None for text in table[found[0]]]


def _left_out(counted: int, placed: int) -> list[str]:
    notes = [f"{counted} spots of the count table have no coordinates: left out"] if counted else []
    return notes + ([f"{placed} spots of the coordinate table have no counts: left out"] if placed else [])
