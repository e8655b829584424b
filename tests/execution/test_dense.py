from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from stbench.errors import PredictionError, UsageError
from stbench.execution.dense import write_dense
from stbench.models import DenseMap, DenseTile

GENES = ["FASN", "GNAS", "µ-gene"]


def values(shape: tuple[int, int] = (300, 530)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(GENES), *shape)).astype(np.float32)


def in_tiles(whole: np.ndarray, side: int = 200) -> Iterator[DenseTile]:
    for top in range(0, whole.shape[1], side):
        for left in range(0, whole.shape[2], side):
            yield DenseTile(top, left, whole[:, top : top + side, left : left + side])


def dense(whole: np.ndarray, tiles: Iterator[DenseTile] | None = None) -> DenseMap:
    return DenseMap(whole.shape[1:], 2.0, 2.9, in_tiles(whole) if tiles is None else tiles)


def test_a_tiff_is_tiled_and_says_genes_and_scale(tmp_path: Path) -> None:
    whole, path = values(), tmp_path / "new" / "C2.ome.tif"

    write_dense(path, dense(whole), GENES)

    with tifffile.TiffFile(path) as file:
        (series,) = file.series
        assert file.is_bigtiff
        assert series.axes == "CYX"
        assert series.keyframe.is_tiled
        np.testing.assert_array_equal(series.asarray(), whole)
        stated: Any = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [channel["Name"] for channel in stated["Channel"]] == GENES
    assert (stated["PhysicalSizeX"], stated["PhysicalSizeY"]) == (2.0, 2.0)
    assert stated["PhysicalSizeXUnit"] == "µm"


def test_a_tiff_of_one_gene_is_an_image(tmp_path: Path) -> None:
    whole = values()[:1]

    write_dense(tmp_path / "one.tif", dense(whole), GENES[:1])

    np.testing.assert_array_equal(tifffile.imread(tmp_path / "one.tif").reshape(whole.shape), whole)


def test_a_zarr_store_is_ome_ngff(tmp_path: Path) -> None:
    whole, path = values(), tmp_path / "C2.zarr"

    write_dense(path, dense(whole), GENES)

    group = zarr.open_group(path, mode="r")
    stated: Any = group.attrs["ome"]
    (scales,) = stated["multiscales"]
    (level,) = scales["datasets"]
    assert stated["version"] == "0.5"
    assert [axis["name"] for axis in scales["axes"]] == ["c", "y", "x"]
    assert level["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 2.0, 2.0]}]
    assert [channel["label"] for channel in stated["omero"]["channels"]] == GENES
    np.testing.assert_array_equal(np.asarray(group[level["path"]]), whole)


@pytest.mark.parametrize("name", ["map.ome.tif", "map.zarr"])
def test_memory_does_not_grow_with_the_map(name: str, tmp_path: Path) -> None:
    shape = (3000, 1000)  # 36 MB

    def tiles() -> Iterator[DenseTile]:
        for top in range(0, shape[0], 100):
            yield DenseTile(top, 0, np.full((len(GENES), 100, shape[1]), top, np.float32))

    tracemalloc.start()
    write_dense(tmp_path / name, DenseMap(shape, 1.0, 1.0, tiles()), GENES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 15e6


@pytest.mark.parametrize("name", ["map.ome.tif", "map.zarr"])
@pytest.mark.parametrize(
    ("tiles", "why"),
    [
        ([DenseTile(0, 0, values()[:, :100])], "hold 53000 pixels"),
        ([DenseTile(0, 0, values()[:2])], "does not lie in a map"),
        ([DenseTile(1, 0, values())], "does not lie in a map"),
        ([DenseTile(0, 0, np.full((3, 300, 530), np.nan, np.float32))], "not finite"),
    ],
)
def test_tiles_that_are_wrong_leave_no_file(name: str, tiles: list[DenseTile], why: str, tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match=why):
        write_dense(tmp_path / name, dense(values(), iter(tiles)), GENES)

    assert not list(tmp_path.iterdir())


def test_other_endings_and_taken_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "taken.zarr").mkdir()

    with pytest.raises(UsageError, match="written as"):
        write_dense(tmp_path / "map.png", dense(values()), GENES)
    with pytest.raises(UsageError, match="exists; remove it"):
        write_dense(tmp_path / "taken.zarr", dense(values()), GENES)
