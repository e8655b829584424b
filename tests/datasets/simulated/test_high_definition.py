"""Simulated bins: exact sums over bin sizes, rates as for spots, and sections of any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stbench.datasets.simulated.expression import GENES, measure_expression
from stbench.datasets.simulated.hd_run import write_hd_run
from stbench.datasets.simulated.high_definition import HDSection
from stbench.datasets.simulated.tissue import grow_tissue
from stbench.errors import UsageError
from stbench.slides.image import open_image
from stbench.slides.readers.section import Section
from stbench.slides.readers.visium_hd import bin_folder, read_bins


@pytest.fixture(scope="module")
def outs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A strip over the edge between two tiles, all bin sizes."""
    folder = tmp_path_factory.mktemp("run") / "outs"
    write_hd_run(folder, (1344, 160), patient=1)
    return folder


@pytest.fixture(scope="module")
def sections(outs: Path, cache_dir: Path) -> dict[int, Section]:
    return {b: read_bins(bin_folder(outs, b), outs / "tissue_image.tif", cache_dir) for b in (2, 8, 16)}


@pytest.mark.parametrize("bin_um", [8, 16])
def test_small_bins_sum_exactly_to_larger_ones(sections: dict[int, Section], bin_um: int) -> None:
    small, large = sections[2].adata, sections[bin_um].adata
    each = bin_um // 2
    home = pd.MultiIndex.from_arrays([small.obs["array_row"] // each, small.obs["array_col"] // each])
    rows = pd.MultiIndex.from_frame(large.obs[["array_row", "array_col"]]).get_indexer(home)

    summed = np.zeros(large.shape, np.int64)
    np.add.at(summed, rows, small.X.toarray())

    assert (rows >= 0).all()
    assert np.array_equal(summed, large.X.toarray())
    assert small.n_obs == each**2 * large.n_obs


def test_bins_lie_where_their_array_says(sections: dict[int, Section]) -> None:
    for bin_um, section in sections.items():
        array = section.adata.obs[["array_col", "array_row"]].to_numpy()
        np.testing.assert_allclose(section.adata.obsm["spatial"], (array + 0.5) * bin_um)


def test_expected_counts_are_sums_and_the_mean_of_the_drawn() -> None:
    hd = HDSection((160, 1280), (2, 8, 16), patient=1)
    (tile,) = hd.tiles()
    blocks = list(hd.blocks(tile))

    expected = {b: sum(each[b].expected.sum(axis=0, dtype=float) for each in blocks) for b in hd.bins}
    drawn = sum(np.asarray(each[16].counts.sum(axis=0)).ravel() for each in blocks)

    np.testing.assert_allclose(expected[2], expected[8], rtol=1e-4)
    np.testing.assert_allclose(expected[2], expected[16], rtol=1e-4)
    assert (np.abs(drawn - expected[16]) < 5 * np.sqrt(expected[16])).all()  # Poisson


def test_bins_expect_what_spots_of_the_same_section_do() -> None:
    hd = HDSection(bins=(16,), drawn_um=16, patient=2)
    (tile,) = hd.tiles()
    blocks = [each[16] for each in hd.blocks(tile)]
    expected = np.concatenate([each.expected for each in blocks])
    spots = measure_expression(grow_tissue(2, 0), 2, 0).expected

    per_gene = np.corrcoef(np.log(expected.mean(axis=0)), np.log(spots.mean(axis=0)))[0, 1]

    assert expected.shape[1] == len(GENES)
    assert per_gene > 0.98
    per_area = expected.sum(axis=1).mean() / 16**2 * np.pi * 27.5**2
    assert per_area == pytest.approx(spots.sum(axis=1).mean(), rel=0.2)  # spots lose some to dropout


def test_the_image_is_tiled_and_in_place(outs: Path, tmp_path: Path) -> None:
    image = open_image(outs / "tissue_image.tif", tmp_path)

    assert image.size == (1344, 160)
    assert image.mpp == pytest.approx(1.0)
    painted = image.read(0, 0, 1344, 160)
    assert np.array_equal(painted[:, :1280], grow_tissue(1, 0).image[:160])
    assert np.array_equal(painted[:, 1280:], grow_tissue(1, 1000).image[:160, :64])


@pytest.mark.parametrize("wrong", [{"bins": (3,)}, {"bins": (8,), "drawn_um": 16}, {"size_um": (100, 160)}])
def test_sizes_that_do_not_divide_are_refused(wrong: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match="multiple"):
        HDSection(**wrong)
