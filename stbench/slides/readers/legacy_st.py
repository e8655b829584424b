"""The published layout of Spatial Transcriptomics arrays: a count table and a spot file per section.

``ST-cnts/<section>.tsv[.gz]``: spots × genes, rows named ``XxY``; ``ST-spotfiles/<section>_selection.tsv``: x, y,
new_x, new_y, pixel_x, pixel_y; ``ST-pat/lbl/<section>_labeled_coordinates.tsv``: x, y, pixel_x, pixel_y, label. Any of
them may be gzipped.
"""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides import cache
from stbench.slides.readers.pitch import Scale
from stbench.slides.slide import array_columns

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class SpotTable:
    """A section's spot file.

    Attributes
    ----------
    names
        ``XxY`` with x and y rounded half to even, as the count table names its rows.
    array_xy
        Rounded array coordinates (x, y), (n, 2).
    pixel_xy
        Spot centres (x, y) in pixels of the published image, (n, 2).
    """

    names: list[str]
    array_xy: NDArray[np.int64]
    pixel_xy: NDArray[np.float64]

    @classmethod
    def of(cls, path: Path, xy: NDArray[Any], pixel_xy: NDArray[np.float64]) -> SpotTable:
        """Round array coordinates (x, y), (n, 2), and name the spots by them.

        Raises
        ------
        DataError
            A spot without coordinates, or named twice; it names `path`.
        """
        if not (np.isfinite(xy).all() and np.isfinite(pixel_xy).all()):
            raise DataError(f"{path}: a spot has no coordinates; remove its row or fill it in")
        rounded = np.around(xy).astype(np.int64)
        names = [f"{x}x{y}" for x, y in rounded]
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise DataError(f"{path}: spot {twice} is listed twice; keep one row per spot")
        return cls(names, rounded, pixel_xy)

    def subset(self, keep: NDArray[np.bool_]) -> SpotTable:
        """Return some of the spots."""
        names = [name for name, kept in zip(self.names, keep, strict=True) if kept]
        return SpotTable(names, self.array_xy[keep], self.pixel_xy[keep])

    def scale(self, pitch_um: float, reduction: float = 1.0) -> Scale:
        """µm per pixel of an image that has `reduction` pixels per pixel of the spot file."""
        along_x, along_y = self.pitch_px()
        source = f"array pitch {pitch_um:g} µm = {along_x:.1f} × {along_y:.1f} px of the spot file"
        return Scale(float(pitch_um / (np.sqrt(along_x * along_y) * reduction)), source)

    def pitch_px(self) -> tuple[float, float]:
        """Distance between array neighbours along x and y, in pixels: least-squares affine fit."""
        array = np.column_stack([self.array_xy, np.ones(len(self.array_xy))])
        affine, *_ = np.linalg.lstsq(array, self.pixel_xy, rcond=None)
        along_x, along_y = np.linalg.norm(affine[:2], axis=1)
        return float(along_x), float(along_y)


def read_spots(path: Path) -> SpotTable:
    """Read a spot file.

    Raises
    ------
    DataError
        A file that is cut off, missing columns, values that are not numbers, a spot named twice.
    """
    columns = _read_columns(path, ("x", "y", "pixel_x", "pixel_y"))
    xy = _numbers(path, columns["x"], columns["y"])
    pixels = _numbers(path, columns["pixel_x"], columns["pixel_y"])
    return SpotTable.of(path, xy, pixels)


def read_labels(path: Path) -> dict[str, str]:
    """Pathologist labels by spot name; rows without coordinates are left out."""
    columns = _read_columns(path, ("x", "y", "label"))
    labels = {}
    for x, y, label in zip(columns["x"], columns["y"], columns["label"], strict=True):
        try:
            labels[f"{round(float(x))}x{round(float(y))}"] = str(label)
        except ValueError:
            continue  # NaN: 1 row in F1, 8 in G2
    return labels


def read_counts(path: Path, cache_dir: Path, digest: str) -> tuple[Any, list[str], list[str]]:
    """Read a count table, once; later reads take the parsed copy in the cache.

    Returns
    -------
    (spots, genes) CSR matrix of int32, spot names, gene names.

    Raises
    ------
    DataError
        A table that is cut off, or values that are not counts.
    """
    from scipy.sparse import csr_matrix

    parsed = cache_dir / "counts" / f"{digest}.npz"
    try:
        with np.load(parsed) as found:
            shape = (len(found["spots"]), len(found["genes"]))
            matrix = csr_matrix((found["data"], found["indices"], found["indptr"]), shape=shape)
            cache.mark_used(parsed)
            return matrix, found["spots"].tolist(), found["genes"].tolist()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        matrix, spots, genes = _parse_counts(path)
    partial = cache.temporary(parsed)
    with partial.open("wb") as file:
        np.savez(file, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr, spots=spots, genes=genes)
    os.replace(partial, parsed)
    return matrix, spots, genes


def build(
    counts: tuple[Any, list[str], list[str]], spots: SpotTable, scale: float, labels: dict[str, str] | None
) -> AnnData:
    """Join counts and coordinates: spots that have both, in the order of the count table.

    Parameters
    ----------
    scale
        Pixels of the image at hand per pixel of the spot file.
    labels
        Region by spot name, where known.
    """
    import pandas as pd
    from anndata import AnnData

    matrix, names, genes = counts
    index = {name: i for i, name in enumerate(spots.names)}
    counted = [i for i, name in enumerate(names) if name in index]
    if not counted:
        raise DataError("no spot of the count table is in the spot file; are they of the same section?")
    kept = [names[i] for i in counted]
    rows = np.array([index[name] for name in kept])
    obs = pd.DataFrame(
        array_columns(spots.array_xy[rows, 1], spots.array_xy[rows, 0]), index=pd.Index(kept, name="spot")
    )
    if labels is not None:
        obs["region"] = pd.Categorical([labels.get(name) for name in kept])
    var = pd.DataFrame({"symbol": genes}, index=pd.Index(genes, name="gene"))
    return AnnData(matrix[counted], obs=obs, var=var, obsm={"spatial": spots.pixel_xy[rows] * scale})


def _parse_counts(path: Path) -> tuple[Any, list[str], list[str]]:
    from scipy.sparse import csr_matrix

    try:
        with _open(path) as file:
            genes = file.readline().rstrip("\n").split("\t")[1:]
            lines = [line.split("\t", 1) for line in file if line.strip()]
        spots = [line[0] for line in lines]
        dense = np.stack([np.fromstring(line[1], np.float64, sep="\t") for line in lines])
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise DataError(f"{path} is truncated or not a table of counts ({error}); fetch it again") from error
    if dense.shape[1] != len(genes):
        raise DataError(f"{path}: {len(genes)} genes are named but rows hold {dense.shape[1]} values")
    if not ((dense >= 0) & (dense < 2**31) & (dense == np.floor(dense))).all():
        raise DataError(f"{path}: values are not counts (whole numbers ≥ 0); give raw counts")
    _refuse_duplicates(path, "gene", genes)
    _refuse_duplicates(path, "spot", spots)
    return csr_matrix(dense.astype(np.int32)), spots, genes


def _numbers(path: Path, *columns: list[str]) -> NDArray[np.float64]:
    try:
        return np.array([[float(value) for value in column] for column in columns]).T
    except ValueError as error:
        raise DataError(f"{path}: {error}; coordinates must be numbers") from error


def _refuse_duplicates(path: Path, what: str, names: list[str]) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    twice = next(n for n in names if n in seen or seen.add(n))  # type: ignore[func-returns-value]
    raise DataError(f"{path}: {what} {twice} appears twice; ids must be unique")


def _open(path: Path) -> TextIO:
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def _read_columns(path: Path, names: tuple[str, ...]) -> dict[str, list[str]]:
    try:
        with _open(path) as file:
            lines = file.read().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is truncated or not a table ({error}); fetch it again") from error
    header = lines[0].split("\t") if lines else []
    missing = [n for n in names if n not in header]
    if missing:
        raise DataError(f"{path}: column {', '.join(missing)} is missing; found: {', '.join(header)}")
    rows = [line.split("\t") for line in lines[1:] if line.strip()]
    if any(len(row) != len(header) for row in rows):
        raise DataError(f"{path}: a row has another number of columns than the header; fetch the file again")
    return {name: [row[header.index(name)] for row in rows] for name in names}
