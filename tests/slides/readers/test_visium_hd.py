"""Visium HD folders in Space Ranger's own layout: what is in the files, and a sentence for what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from made_hd import GENES, MPP, REDUCED, SIDE_UM, counts_at, make_run

from stbench.datasets.importing import Stated, understand
from stbench.errors import DataError
from stbench.slides.readers.validate import validate
from stbench.slides.readers.visium_hd import bin_folder, bin_folders, full_image, read_bins


@pytest.mark.parametrize("um", [2, 8, 16])
def test_bins_are_what_the_files_say(um: int, tmp_path: Path) -> None:
    outs = make_run(tmp_path / "S1/outs")

    section = read_bins(bin_folder(outs, um), full_image(outs), tmp_path / "cache")

    expected = counts_at(um)[..., :-1]  # the antibody is no gene
    row, col = (section.adata.obs[f"array_{axis}"].to_numpy() for axis in ("row", "col"))
    np.testing.assert_array_equal(section.adata.X.toarray(), expected[row, col])
    np.testing.assert_allclose(section.adata.obsm["spatial"], np.column_stack([col + 0.5, row + 0.5]) * um / MPP)
    assert (section.spot_um, section.spot_shape, section.grid, section.mpp) == (um, "square", "square", MPP)
    assert section.technology == "Visium HD"
    assert list(section.adata.var["symbol"]) == [f"GENE{g}" for g in range(GENES - 1)]
    assert list(section.adata.obs["in_tissue"]) == list(col > 0)
    small = "a spot is 4.0 px across: the image is too small to predict from; give a larger one"
    assert (small in validate(section, "S1", tmp_path / "cache")) == (um == 2)


def test_larger_bins_are_sums_of_smaller_ones(tmp_path: Path) -> None:
    outs = make_run(tmp_path / "S1/outs")
    sums = {
        um: np.asarray(read_bins(bin_folder(outs, um), None, tmp_path / "cache").adata.X.sum(0)).ravel()
        for um in (2, 8, 16)
    }

    np.testing.assert_array_equal(sums[2], sums[8])
    np.testing.assert_array_equal(sums[8], sums[16])


def test_without_the_full_image_the_reduced_one_is_taken(tmp_path: Path) -> None:
    outs = make_run(tmp_path / "S1/outs", (16,))

    section = read_bins(bin_folder(outs, 16), None, tmp_path / "cache")

    assert section.image == outs / "binned_outputs/square_016um/spatial/tissue_hires_image.png"
    assert section.mpp == MPP / REDUCED
    assert section.adata.obsm["spatial"].max() < SIDE_UM / MPP * REDUCED


@pytest.mark.parametrize("given", [".", "outs", "outs/binned_outputs", "outs/binned_outputs/square_008um"])
def test_the_folder_may_be_any_of_a_run(given: str, tmp_path: Path) -> None:
    make_run(tmp_path / "S1/outs")

    found = bin_folders(tmp_path / "S1" / given)

    assert sorted(found) == ([8] if given.endswith("8um") else [2, 8, 16])
    assert full_image(tmp_path / "S1" / given) == tmp_path / "S1/tissue_image.btf"


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["X_cytassist_image.tiff", "X_image.tif", "X_tissue_image.btf"], "X_tissue_image.btf"),
        (["image.tif", "notes.png"], "image.tif"),
        (["scan.tif"], "scan.tif"),
        (["scan.tif", "notes.png"], None),
        (["X_cytassist_image.tiff"], None),
        (["X_image.tif"], None),
    ],
)
def test_the_image_of_the_slide_is_told_from_others(there: list[str], taken: str | None, tmp_path: Path) -> None:
    outs = make_run(tmp_path / "S1/outs", (16,))
    (tmp_path / "S1/tissue_image.btf").unlink()
    for name in there:
        (tmp_path / "S1" / name).touch()

    found = full_image(outs)

    assert (found and found.name) == taken


def test_counts_stay_on_disk(tmp_path: Path) -> None:
    outs = make_run(tmp_path / "S1/outs", (8,))
    with h5py.File(outs / "binned_outputs/square_008um/filtered_feature_bc_matrix.h5", "r+") as file:
        file["matrix/features/feature_type"][:] = b"Gene Expression"

    section = read_bins(bin_folder(outs, 8), None, tmp_path / "cache")

    def base(array: np.ndarray) -> object:
        while isinstance(array, np.ndarray) and not isinstance(array, np.memmap) and array.base is not None:
            array = array.base
        return array

    assert isinstance(base(section.adata.X.data), np.memmap)
    assert isinstance(base(section.adata.X.indices), np.memmap)


def truncated(folder: Path) -> None:
    path = folder / "spatial/tissue_positions.parquet"
    path.write_bytes(path.read_bytes()[:-200])


def scaled(**changes: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "spatial/scalefactors_json.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def halved(folder: Path) -> None:
    path = folder / "spatial/tissue_positions.parquet"
    pd.read_parquet(path).iloc[::2].to_parquet(path)


def moved(folder: Path) -> None:
    path = folder / "spatial/tissue_positions.parquet"
    places = pd.read_parquet(path)
    places[["pxl_row_in_fullres", "pxl_col_in_fullres"]] *= 0.8
    places.to_parquet(path)


def cut(folder: Path) -> None:
    path = folder / "filtered_feature_bc_matrix.h5"
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncated, "tissue_positions.parquet is missing, truncated"),
        (halved, "bins have no position"),
        (moved, r"bins lie 12.8 and 12.8 px apart, scalefactors_json.json says 16 px for 8 µm"),
        (scaled(microns_per_pixel=0.25, spot_diameter_fullres=32.0), "says 32 px for 8 µm: they are not of one image"),
        (cut, "filtered_feature_bc_matrix.h5 is truncated"),
        (scaled(bin_size_um=16.0), "bin_size_um is 16, the folder says 8"),
        (
            scaled(microns_per_pixel=0.25),
            r"microns_per_pixel \(0.25\) and spot_diameter_fullres \(16\) make bins of 4 µm",
        ),
        (lambda folder: (folder / "spatial/scalefactors_json.json").unlink(), "scalefactors_json.json is missing"),
    ],
)
def test_what_is_wrong_is_one_sentence(damage: Callable[[Path], None], sentence: str, tmp_path: Path) -> None:
    folder = bin_folder(make_run(tmp_path / "S1/outs", (8,)), 8)
    damage(folder)

    with pytest.raises(DataError, match=sentence) as caught:
        read_bins(folder, None, tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_a_bin_size_that_is_not_there(tmp_path: Path) -> None:
    outs = make_run(tmp_path / "S1/outs", (8, 16))

    with pytest.raises(DataError, match=r"has no bins of 2 µm \(square_002um\); of bin sizes it has 8 µm, 16 µm"):
        bin_folder(outs, 2)


def test_an_import_makes_a_slide_of_each_bin_size(tmp_path: Path) -> None:
    make_run(tmp_path / "runs/S1/outs")
    make_run(tmp_path / "runs/S2/outs", (8,))

    definition, _ = understand(tmp_path / "runs", "mine", Stated(patient="P"), tmp_path / "cache")

    slides = {slide.id: slide for slide in definition.slides}
    assert list(slides) == ["S1-002um", "S1-008um", "S1-016um", "S2-008um"]
    assert {slide.image_id for slide in definition.slides if slide.id.startswith("S1")} == {"S1"}
    assert [slide.spot_um for slide in definition.slides] == [2, 8, 16, 8]
    assert definition.default_protocol == "stbench-section-v1"
    assert slides["S2-008um"].image == (tmp_path / "runs/S2/tissue_image.btf").resolve()
