"""A simulated Visium HD section written as Space Ranger 3 writes its output, in blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.datasets.simulated.expression import GENES
from stbench.datasets.simulated.high_definition import BIN_SIZES, BinBlock, HDSection, Tile

if TYPE_CHECKING:
    import h5py

HIRES_PX = 6000  # longer side of Space Ranger's hires image of an HD slide
LOWRES_PX = 600
TILE_PX = 256
_ROW_GROUP = 2**20


def write_hd_run(
    folder: Path,
    size_um: tuple[int, int] = (1280, 1280),
    bins: tuple[int, ...] = BIN_SIZES,
    *,
    patient: int = 0,
    section: int = 0,
    seed: int = 0,
    drawn_um: int | None = None,
) -> Path:
    """Write ``binned_outputs/`` and the full-resolution image ``tissue_image.tif``.

    Parameters
    ----------
    folder
        Made if it is not there: the run's ``outs``.
    size_um
        Width and height, multiples of 16 µm.
    bins
        Sizes written.
    drawn_um
        The size that counts are drawn at; the smallest of `bins` if None. Give 2 for bins of 8 µm that are true sums.

    Returns
    -------
    The image.

    Notes
    -----
    Memory holds one tile of 1280 µm and a strip of its bins, whatever the section's size.
    """
    import tifffile

    hd = HDSection(size_um, tuple(sorted(bins)), patient, section, seed, drawn_um or min(bins))
    width, height = size_um
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / "tissue_image.tif"
    pixels = folder / ".pixels.npy"
    painted = np.lib.format.open_memmap(pixels, mode="w+", dtype=np.uint8, shape=(height, width, 3))
    try:
        with ExitStack() as open_files:
            matrices = {b: open_files.enter_context(_Matrix(_square(folder, b))) for b in hd.bins}
            inside = {b: np.zeros(hd.shape(b), bool) for b in hd.bins}
            for tile in hd.tiles():
                painted[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = tile.image
                for bin_um, block in _every_block(hd, tile):
                    matrices[bin_um].append(bin_um, block)
                    inside[bin_um][block.array_row, block.array_col] = True
        tifffile.imwrite(
            image, painted, photometric="rgb", tile=(TILE_PX, TILE_PX), bigtiff=True, metadata=None,
            compression="zlib", resolution=(1e4, 1e4), resolutionunit="CENTIMETER",
        )  # fmt: skip
        for bin_um in hd.bins:
            _write_spatial(_square(folder, bin_um) / "spatial", bin_um, inside[bin_um], painted)
    finally:
        pixels.unlink(missing_ok=True)
    return image


def barcodes(bin_um: int, row: NDArray[np.int64], col: NDArray[np.int64]) -> Any:
    """Names of bins as Space Ranger gives them: ``s_008um_00269_00526-1``."""
    import pandas as pd

    rows, columns = pd.Series(row).astype(str).str.zfill(5), pd.Series(col).astype(str).str.zfill(5)
    return f"s_{bin_um:03d}um_" + rows + "_" + columns + "-1"


def _every_block(hd: HDSection, tile: Tile) -> Iterator[tuple[int, BinBlock]]:
    return ((bin_um, block) for blocks in hd.blocks(tile) for bin_um, block in blocks.items())


def _square(folder: Path, bin_um: int) -> Path:
    return folder / "binned_outputs" / f"square_{bin_um:03d}um"


class _Matrix:
    """``filtered_feature_bc_matrix.h5``, to which bins are appended."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "filtered_feature_bc_matrix.h5"

    def __enter__(self) -> _Matrix:
        import h5py

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = h5py.File(self._path, "w")
        self._group: h5py.Group = self._file.create_group("matrix")
        for name, dtype in (("barcodes", "S22"), ("data", "i4"), ("indices", "i8"), ("indptr", "i8")):
            self._group.create_dataset(
                name,
                shape=(0,),
                maxshape=(None,),
                dtype=dtype,
                chunks=(80_000,),
                compression="gzip",
                compression_opts=1,
            )
        self._append("indptr", np.zeros(1, np.int64))
        features = self._group.create_group("features")
        names = np.array(GENES, dtype="S")
        for key, values in (("id", names), ("name", names)):
            features[key] = values
        features["feature_type"] = np.full(len(GENES), b"Gene Expression")
        features["genome"] = np.full(len(GENES), b"simulated")
        features["_all_tag_keys"] = np.array([b"genome"])
        return self

    def append(self, bin_um: int, block: BinBlock) -> None:
        names = barcodes(bin_um, block.array_row, block.array_col)
        end = self._group["data"].shape[0]
        self._append("barcodes", names.to_numpy().astype("S22"))
        self._append("data", block.counts.data)
        self._append("indices", block.counts.indices)
        self._append("indptr", block.counts.indptr[1:].astype(np.int64) + end)

    def _append(self, name: str, values: NDArray[Any]) -> None:
        held = self._group[name]
        start = held.shape[0]
        held.resize((start + len(values),))
        held[start:] = values

    def __exit__(self, *error: object) -> None:
        self._group["shape"] = np.array([len(GENES), self._group["barcodes"].shape[0]], np.int32)
        self._file.close()


def _write_spatial(spatial: Path, bin_um: int, inside: NDArray[np.bool_], painted: NDArray[np.uint8]) -> None:
    spatial.mkdir(parents=True, exist_ok=True)
    _write_positions(spatial / "tissue_positions.parquet", bin_um, inside)
    factors = {
        "spot_diameter_fullres": float(bin_um),
        "bin_size_um": float(bin_um),
        "microns_per_pixel": 1.0,
        "regist_target_img_scalef": 1.0,
        "fiducial_diameter_fullres": 165.0,
    }
    for name, most in (("hires", HIRES_PX), ("lowres", LOWRES_PX)):
        factors[f"tissue_{name}_scalef"] = _write_reduced(spatial / f"tissue_{name}_image.png", painted, most)
    (spatial / "scalefactors_json.json").write_text(json.dumps(factors))


def _write_positions(path: Path, bin_um: int, inside: NDArray[np.bool_]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, columns = inside.shape
    step = max(1, _ROW_GROUP // columns)
    writer = None
    for first in range(0, rows, step):
        row, col = (each.ravel() for each in np.mgrid[first : min(first + step, rows), :columns])
        table = pa.table(
            {
                "barcode": pa.array(barcodes(bin_um, row, col)),
                "in_tissue": inside[row, col].astype(np.int64),
                "array_row": row,
                "array_col": col,
                "pxl_row_in_fullres": (row + 0.5) * bin_um,
                "pxl_col_in_fullres": (col + 0.5) * bin_um,
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def _write_reduced(path: Path, painted: NDArray[np.uint8], most_px: int) -> float:
    """Write the image with its longer side at most this; returns its pixels per full-resolution pixel."""
    import imagecodecs

    step = max(1, -(-max(painted.shape) // most_px))
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(painted[::step, ::step])))
    return 1.0 / float(step)
