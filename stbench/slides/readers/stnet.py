"""The tables of He et al. 2020 (Mendeley Data 29ntw7sh4r): counts, spots and a pathologist's annotation per section.

* counts: spots × Ensembl ids, rows named ``XxY``, of the whole array; genes without a count in the section left out;
* spots below tissue: names ``XxY`` in the first column, ``X`` and ``Y`` in pixels; or columns ``x``, ``y``, ``pixel_x``
  and ``pixel_y``, as ST-Net's code reads them;
* annotation: ``xcoord``, ``ycoord``, ``lab``, ``tumor``; rows begin with a name that the header does not count, so
  that its names stand one column too far left; coordinates are fractional.

That is how public code that reads the published files describes them; the files themselves were not at hand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides.readers import tables
from stbench.slides.readers.array_kind import SPOT_UM, ST_PITCH_UM
from stbench.slides.readers.assemble import refuse_duplicates
from stbench.slides.readers.legacy_st import SpotTable, build, read_counts
from stbench.slides.readers.section import Section

if TYPE_CHECKING:
    from pandas import DataFrame

NAME = re.compile(r"(-?\d+(?:\.\d+)?)x(-?\d+(?:\.\d+)?)")
NAME_COLUMNS = (("",), ("spot",), ("spot_id",), ("id",), ("unnamed: 0",))


def read_stnet(
    counts: Path, spots: Path, annotation: Path, image: Path | None, cache_dir: Path, counts_digest: str
) -> Section:
    """Read the spots of a section that have counts, a place and an annotation.

    Parameters
    ----------
    cache_dir
        Where the parsed count table is kept, under `counts_digest`, its SHA-256.

    Returns
    -------
    Section with ``obs["region"]`` as the annotation calls it (``tumor``, ``non``).

    Raises
    ------
    DataError
        Tables that are damaged, lack columns or share no spot.
    """
    table, labels = read_stnet_spots(spots), read_annotation(annotation)
    matrix, names, genes = read_counts(counts, cache_dir, counts_digest)
    counted = [f"{x}x{y}" for x, y in _positions(counts, names)]
    refuse_duplicates(counts, "spot", counted)
    annotated = table.subset(np.array([name in labels for name in table.names], bool))
    if not set(annotated.names) & set(counted):
        raise DataError(f"{counts}, {spots} and {annotation}: no spot is in all three; are they of the same section?")
    adata = build((matrix, counted, genes), annotated, 1.0, labels)
    scale = table.scale(ST_PITCH_UM)
    return Section(adata, image, scale.mpp, scale.source, SPOT_UM, "circle", "square", "ST")


def read_stnet_spots(path: Path) -> SpotTable:
    """Read where the spots below tissue are.

    Raises
    ------
    DataError
        Missing columns, names that are not ``XxY``, a spot named twice.
    """
    table = tables.read_columns(path)
    named = tables.find_columns(table.columns, NAME_COLUMNS)
    pixels = tables.find_columns(table.columns, tables.PIXEL_COLUMNS)
    xy = tables.find_columns(table.columns, (("x", "y"),))
    if pixels and xy:
        return SpotTable.of(path, tables.numbers(path, table, xy), tables.numbers(path, table, pixels))
    if named and (centers := pixels or xy):
        return SpotTable.of(path, _positions(path, table[named[0]].tolist()), tables.numbers(path, table, centers))
    raise DataError(
        f"{path}: columns pixel_x, pixel_y, x and y are needed, or names XxY with X and Y in pixels; found: "
        f"{', '.join(table.columns)}"
    )


def read_annotation(path: Path) -> dict[str, str]:
    """Read the annotation by spot name ``XxY``; of two rows that round to one spot, the last counts.

    Raises
    ------
    DataError
        Missing columns, coordinates that are not numbers.
    """
    table = _aligned(tables.read_columns(path))
    found = tables.find_columns(table.columns, (("xcoord", "ycoord", "tumor"),))
    if found is None:
        raise DataError(f"{path}: columns xcoord, ycoord and tumor are needed; found: {', '.join(table.columns)}")
    placed = table[(table[list(found[:2])] != "").all(axis=1)]  # what has no place is of no spot
    xy = np.around(tables.numbers(path, placed, found[:2])).astype(np.int64).reshape(-1, 2)
    return {f"{x}x{y}": label.strip() for (x, y), label in zip(xy, placed[found[2]], strict=True)}


def _aligned(table: DataFrame) -> DataFrame:
    """Move names that stand one column too far left: an empty one is last then, not first."""
    names = [str(name).strip() for name in table.columns]
    is_shifted = bool(names[0]) and not names[-1]
    return table.set_axis([names[-1], *names[:-1]] if is_shifted else names, axis=1)


def _positions(path: Path, names: list[str]) -> NDArray[Any]:
    """Whole array coordinates (x, y) that names say, (n, 2)."""
    matches = [(name, NAME.fullmatch(name.strip())) for name in names]
    odd = next((name for name, match in matches if match is None), None)
    if odd is not None:
        raise DataError(f"{path}: {odd!r} is not the name of a spot (XxY, such as 12x30); correct it")
    xy = [[float(part) for part in match.groups()] for _, match in matches if match]
    return np.around(np.array(xy, np.float64).reshape(-1, 2)).astype(np.int64)
