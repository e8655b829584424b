"""A model's dense map as a file that image viewers open: a tiled OME-TIFF or an OME-Zarr store, a channel per gene."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import PredictionError, UsageError
from stbench.models import DenseMap

TILE = 256
"""Side of a stored tile, in pixels of the map."""
NGFF = "0.5"
"""Version of the OME-NGFF metadata."""


def write_dense(path: Path, dense: DenseMap, genes: Sequence[str]) -> None:
    """Write a map as it is made; the file appears when it is whole.

    Parameters
    ----------
    path
        ``.ome.tif``, ``.ome.tiff``, ``.tif`` or ``.tiff``: BigTIFF, whose tiles wait in a file beside it, as it is
        written gene by gene; ``.zarr``: a store of zarr format 3.
    genes
        Names of the map's genes, which become its channels.

    Raises
    ------
    UsageError
        Another ending, or the path is taken.
    PredictionError
        Tiles that are not finite, of another shape, or that do not cover the map once.
    """
    require_writable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        whole = folder / path.name
        (_write_zarr if path.suffix == ".zarr" else _write_tiff)(whole, dense, list(genes))
        os.replace(whole, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_writable(path: Path) -> None:
    """Raise `UsageError` for a path that no map can be written to."""
    if path.suffix not in (".tif", ".tiff", ".zarr"):
        raise UsageError(f"{path}: a dense map is written as .ome.tif or .zarr; give one of these endings")
    if path.exists():
        raise UsageError(f"{path} exists; remove it or give another name")


def _write_tiff(path: Path, dense: DenseMap, genes: list[str]) -> None:
    import tifffile

    shape = (len(genes), *dense.shape)
    staged = np.lib.format.open_memmap(path.parent / "staged.npy", mode="w+", dtype=np.float32, shape=shape)
    _fill(staged, dense, shape)
    metadata = {
        "axes": "CYX",
        "PhysicalSizeX": dense.pixel_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": dense.pixel_um,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": genes},
    }
    per_cm = 1e4 / dense.pixel_um
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        file.write(
            _tiles(staged),
            shape=shape,
            dtype=np.float32,
            tile=(TILE, TILE),
            photometric="minisblack",
            compression="zlib",
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
            metadata=metadata,
        )


def _tiles(values: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Tiles in the order of a TIFF: gene by gene, row by row."""
    genes, rows, columns = values.shape
    for gene in range(genes):
        for top in range(0, rows, TILE):
            for left in range(0, columns, TILE):
                yield np.array(values[gene, top : top + TILE, left : left + TILE])


def _write_zarr(path: Path, dense: DenseMap, genes: list[str]) -> None:
    import zarr

    shape = (len(genes), *dense.shape)
    group = zarr.create_group(store=path, zarr_format=3)
    axes: list[dict[str, Any]] = [
        {"name": "c", "type": "channel"},
        *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"),
    ]
    scale: dict[str, Any] = {"type": "scale", "scale": [1.0, dense.pixel_um, dense.pixel_um]}
    stated: dict[str, Any] = {
        "version": NGFF,
        "multiscales": [
            {
                "name": path.stem,
                "axes": axes,
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
            }
        ],
        "omero": {"channels": [{"label": gene} for gene in genes]},
    }
    group.attrs["ome"] = stated
    array = group.create_array(
        "0", shape=shape, chunks=(1, TILE, TILE), dtype="float32", dimension_names=["c", "y", "x"]
    )
    _fill(array, dense, shape)


def _fill(target: Any, dense: DenseMap, shape: tuple[int, int, int]) -> None:
    """Write each tile where it belongs."""
    genes, rows, columns = shape
    covered = 0
    for top, left, values in dense.tiles:
        height, width = values.shape[1:]
        if len(values) != genes or top < 0 or left < 0 or top + height > rows or left + width > columns:
            raise PredictionError(
                f"a tile of shape {values.shape} at row {top}, column {left} does not lie in a map of shape {shape} "
                "(genes, rows, columns)"
            )
        if not np.isfinite(values).all():
            raise PredictionError(f"the tile at row {top}, column {left} holds values that are not finite")
        target[:, top : top + height, left : left + width] = values
        covered += height * width
    if covered != math.prod(dense.shape):
        raise PredictionError(f"the tiles hold {covered} pixels, the map has {math.prod(dense.shape)}")
