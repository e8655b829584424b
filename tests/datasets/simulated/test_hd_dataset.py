"""`simulated-hd`: bins of two patients, each bin size a slide of the same section."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stbench.datasets import DatasetContext
from stbench.datasets.simulated.expression import GENES
from stbench.datasets.simulated.hd_dataset import SimulatedHD
from stbench.errors import DataError

IDS = ["P5-S1-008um", "P5-S1-016um", "P6-S1-008um", "P6-S1-016um"]


@pytest.fixture(scope="module")
def hd(cache_dir: Path) -> SimulatedHD:
    return SimulatedHD(DatasetContext(cache_dir))


def test_bin_sizes_share_image_and_patient(tmp_path: Path) -> None:
    infos = SimulatedHD(DatasetContext(tmp_path)).slides()

    assert [info.id for info in infos] == IDS
    assert [info.image_id for info in infos] == ["P5-S1", "P5-S1", "P6-S1", "P6-S1"]
    assert [info.spot_um for info in infos] == [8.0, 16.0] * 2
    assert {(info.grid, info.spot_shape, info.has_regions) for info in infos} == {("square", "square", True)}
    assert not list(tmp_path.iterdir())  # metadata need no data


def test_small_bins_sum_to_large_ones(hd: SimulatedHD) -> None:
    small, large = hd.load("P5-S1-008um"), hd.load("P5-S1-016um")

    assert list(small.adata.var_names) == list(GENES)
    for values in ("X", "expected"):
        first, second = (s.adata.X if values == "X" else s.adata.layers[values] for s in (small, large))
        np.testing.assert_allclose(first.sum(axis=0, dtype=float), second.sum(axis=0, dtype=float), rtol=1e-6)
    assert small.n_spots == 4 * large.n_spots
    assert large.adata.obs["region"].notna().all()
    assert large.patches(pixels=4, microns=16).shape == (large.n_spots, 4, 4, 3)
    assert np.bincount(large.neighbours()[0]).max() == 8


def test_each_slide_has_a_checksum_and_the_second_time_it_is_only_read(hd: SimulatedHD, cache_dir: Path) -> None:
    files = {file.name: file.sha256 for file in hd.files()}
    times = {path: path.stat().st_mtime_ns for path in (cache_dir / "simulated-hd").rglob("P*")}

    again = SimulatedHD(DatasetContext(cache_dir))

    assert list(files) == IDS
    assert len(set(files.values())) == 4
    assert again.revision == hd.revision
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_an_unknown_slide_is_named(hd: SimulatedHD) -> None:
    with pytest.raises(DataError, match="simulated-hd has no slide 'P1'; it has P5-S1-008um"):
        hd.load("P1")
