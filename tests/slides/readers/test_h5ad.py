"""AnnData files as the community writes them: where counts, places, images and names may be, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from stbench.errors import DataError
from stbench.slides.image import open_image
from stbench.slides.readers.h5ad import read_h5ad_section

COUNTS = np.random.default_rng(0).poisson(2.0, (30, 4)).astype(np.float32)
NAMES = ["TP53", "TBCE", "MYC", "ERBB2"]
ENSEMBL = [f"ENSG0000000000{i}" for i in range(4)]


def section(**changes: Any) -> AnnData:
    """30 Visium spots at 0.5 µm/px, with an embedded image of a tenth of that resolution."""
    row, col = np.divmod(np.arange(30), 5)
    col = 2 * col + row % 2
    obs = pd.DataFrame({"array_row": row, "array_col": col}, index=[f"spot{i}" for i in range(30)])
    centers = np.column_stack([100 + col * 100, 100 + row * 100 * np.sqrt(3)])
    library = {
        "images": {"hires": np.full((120, 140, 3), 0.5, np.float32), "lowres": np.full((60, 70, 3), 0.5, np.float32)},
        "scalefactors": {"tissue_hires_scalef": 0.1, "tissue_lowres_scalef": 0.05, "fiducial_diameter_fullres": 210.0},
    }
    parts: dict[str, Any] = {
        "X": csr_matrix(COUNTS),
        "obs": obs,
        "var": pd.DataFrame(index=NAMES),
        "obsm": {"spatial": centers},
        "uns": {"spatial": {"library": library}},
    }
    return AnnData(**(parts | changes))


def write(adata: AnnData, folder: Path) -> Path:
    path = folder / "section.h5ad"
    adata.write_h5ad(path)
    return path


def test_dorsolateral_prefrontal_cortex(test_data: Path, cache_dir: Path) -> None:
    found = read_h5ad_section(test_data / "dlpfc/151510.h5ad", cache_dir=cache_dir)

    assert found.adata.shape == (4634, 500)
    assert (found.adata.X.format, found.adata.X.dtype) == ("csr", np.int32)
    assert found.adata.obs["region"].value_counts().to_dict() == {
        "Layer3": 1774, "Layer1": 1180, "Layer2": 650, "Layer4": 318, "Layer5": 310, "WM": 184, "Layer6": 179,
    }  # fmt: skip
    assert found.adata.obs["region"].isna().sum() == 39
    assert found.adata.var_names[0] == "ENSG00000187608"
    assert (found.grid, found.technology, found.spot_um) == ("hex", "Visium", 55.0)
    assert found.mpp == pytest.approx(16.017, abs=0.001)
    assert found.image is not None
    assert open_image(found.image, cache_dir).size == (600, 600)
    assert found.adata.obsm["spatial"].max() < 600


def test_the_spot_diameter_of_an_older_output_is_70_um(test_data: Path, cache_dir: Path) -> None:
    """Why ``spot_diameter_fullres`` gives no scale: here it is 70 µm, elsewhere 65, and the printed spot has 55."""
    mpp = read_h5ad_section(test_data / "dlpfc/151510.h5ad", cache_dir=cache_dir).mpp
    assert mpp is not None

    assert 96.89 * mpp * 0.045004502 == pytest.approx(70, rel=0.005)
    assert 145.335 * mpp * 0.045004502 == pytest.approx(105, rel=0.005)  # fiducials


def test_xenium_crop_with_an_image_beside_it(test_data: Path) -> None:
    found = read_h5ad_section(test_data / "xenium_crop/NCBI858.h5ad")

    assert found.adata.shape == (200, 338)
    assert found.image == test_data / "xenium_crop/NCBI858.jpg"
    assert found.adata.obsm["spatial"][0] == pytest.approx([536.366, 999.445], abs=0.001)
    assert found.adata.obs["array_row"].tolist() == found.adata.obsm["spatial"][:, 1].tolist()
    assert (found.mpp, found.grid, found.technology) == (None, "none", "")
    assert list(found.adata.var_names[:2]) == ["IRF1", "STAT1"]


def test_the_largest_embedded_image_is_written_once(tmp_path: Path) -> None:
    path = write(section(), tmp_path)

    first = read_h5ad_section(path, cache_dir=tmp_path / "cache")
    assert first.image is not None
    written = first.image.stat().st_mtime_ns
    second = read_h5ad_section(path, cache_dir=tmp_path / "cache")

    assert second.image == first.image
    assert first.image.stat().st_mtime_ns == written
    image = open_image(first.image, tmp_path / "cache")
    assert image.size == (140, 120)
    assert np.unique(image.read(0, 0, 140, 120)).tolist() == [128]
    assert first.adata.obsm["spatial"][0] == pytest.approx([10, 10])
    assert first.mpp == pytest.approx(5.0)


def test_an_image_given_or_beside_the_file_keeps_the_coordinates(tmp_path: Path) -> None:
    path = write(section(), tmp_path)

    given = read_h5ad_section(path, tmp_path / "whole.tif", tmp_path / "cache")
    (tmp_path / "section.jpg").touch()
    (tmp_path / "section2.jpg").touch()
    beside = read_h5ad_section(path, cache_dir=tmp_path / "cache")

    assert given.image == tmp_path / "whole.tif"
    assert beside.image == tmp_path / "section.jpg"
    assert given.adata.obsm["spatial"][0].tolist() == beside.adata.obsm["spatial"][0].tolist() == [100, 100]
    assert (given.mpp, beside.mpp) == pytest.approx((0.5, 0.5))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("place", ["layers['counts']", "raw.X"])
def test_raw_counts_are_looked_for_behind_a_normalised_x(tmp_path: Path, place: str) -> None:
    adata = section()
    if place == "raw.X":
        adata.raw = adata.copy()
        adata = adata[:, :2].copy()
    else:
        adata.layers["counts"] = adata.X.copy()
    adata.X = csr_matrix(np.log1p(adata.X.toarray()))

    found = read_h5ad_section(write(adata, tmp_path), cache_dir=tmp_path)

    assert found.adata.X.toarray().tolist() == COUNTS.tolist()
    assert list(found.adata.var_names) == NAMES
    assert f"counts are those of {place}" in found.notes


@pytest.mark.parametrize(
    ("value", "reason"), [(0.5, r"fractional \(0\.5\)"), (-1, r"negative \(-1\)"), (np.nan, "missing")]
)
def test_without_raw_counts_the_places_looked_at_are_named(tmp_path: Path, value: float, reason: str) -> None:
    values = COUNTS.copy()
    values[3, 2] = value
    adata = section(X=values)

    with pytest.raises(
        DataError, match=rf"no raw counts \(X: a value is {reason}.*; layers\['counts'\]: not there\); put them in X"
    ):
        read_h5ad_section(write(adata, tmp_path))


@pytest.mark.parametrize("columns", [("x_pixel", "y_pixel"), ("pxl_col_in_fullres", "pxl_row_in_fullres"),
                                     ("imagecol", "imagerow")])  # fmt: skip
def test_coordinates_in_obs(tmp_path: Path, columns: tuple[str, str]) -> None:
    adata = section()
    adata.obs[list(columns)] = adata.obsm["spatial"]
    del adata.obsm["spatial"]

    found = read_h5ad_section(write(adata, tmp_path), cache_dir=tmp_path)

    assert found.adata.obsm["spatial"][7] == pytest.approx(section().obsm["spatial"][7] * 0.1)


def test_without_coordinates(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither obsm\['spatial'\] nor pixel columns in obs"):
        read_h5ad_section(write(section(obsm={}), tmp_path))


def test_several_libraries_are_refused(tmp_path: Path) -> None:
    adata = section(uns={"spatial": {"first": {"images": {}}, "second": {"images": {}}}})

    with pytest.raises(DataError, match=r"2 libraries \(first, second\); write one file per section"):
        read_h5ad_section(write(adata, tmp_path))


@pytest.mark.parametrize(
    ("var", "ids", "symbols"),
    [
        (pd.DataFrame({"feature_name": NAMES}, index=ENSEMBL), ENSEMBL, NAMES),
        (pd.DataFrame({"gene_ids": ENSEMBL}, index=NAMES), ENSEMBL, NAMES),
        (pd.DataFrame({"Ensembl": ENSEMBL, "symbol": [*NAMES[:3], "NEU"]}, index=NAMES), ENSEMBL, [*NAMES[:3], "NEU"]),
        (pd.DataFrame({"gene_ids": [*ENSEMBL[:3], ""]}, index=NAMES), [*ENSEMBL[:3], "ERBB2"], NAMES),
        (pd.DataFrame({"n_cells": [1, 2, 3, 4]}, index=NAMES), NAMES, NAMES),
    ],
)
def test_ids_and_symbols(tmp_path: Path, var: pd.DataFrame, ids: list[str], symbols: list[str]) -> None:
    found = read_h5ad_section(write(section(var=var), tmp_path), cache_dir=tmp_path)

    assert list(found.adata.var_names) == ids
    assert list(found.adata.var["symbol"]) == symbols


def test_duplicate_ids_are_refused_and_duplicate_symbols_are_not(tmp_path: Path) -> None:
    same = ["TBCE"] * 4
    normal = read_h5ad_section(
        write(section(var=pd.DataFrame({"symbol": same}, index=ENSEMBL)), tmp_path), cache_dir=tmp_path
    )
    assert list(normal.adata.var["symbol"]) == same

    twice = pd.DataFrame({"gene_ids": ["ENSG00000000001"] * 4}, index=NAMES)
    with pytest.raises(DataError, match=r"section\.h5ad: gene ENSG00000000001 appears twice"):
        read_h5ad_section(write(section(var=twice), tmp_path), cache_dir=tmp_path)


def test_a_number_is_not_a_region_and_text_is(tmp_path: Path) -> None:
    adata = section()
    adata.obs["region"] = np.arange(30)
    adata.obs["Annotation"] = ["tumour", "stroma", None] * 10

    found = read_h5ad_section(write(adata, tmp_path), cache_dir=tmp_path)

    assert found.adata.obs["region"].value_counts(dropna=False).tolist() == [10, 10, 10]
    assert list(found.adata.obs["region"].cat.categories) == ["stroma", "tumour"]


def test_without_an_array_the_scale_is_that_of_the_fiducials_or_of_the_json_beside(tmp_path: Path) -> None:
    adata = section()
    adata.obs = adata.obs[[]]
    path = write(adata, tmp_path)

    fiducials = read_h5ad_section(path, cache_dir=tmp_path)
    (tmp_path / "section.png").touch()
    (tmp_path / "section.json").write_text(json.dumps({"pixel_size_um_estimated": 0.47}))
    stated = read_h5ad_section(path, cache_dir=tmp_path)

    assert fiducials.mpp == pytest.approx(5.0)
    assert fiducials.mpp_source == "fiducial_diameter_fullres (105 µm)"
    assert (stated.mpp, stated.mpp_source) == (0.47, "pixel_size_um_estimated in section.json")
    assert stated.grid == "none"


def test_a_spot_diameter_alone_gives_no_scale(tmp_path: Path) -> None:
    adata = section(uns={"spatial": {"library": {"scalefactors": {"spot_diameter_fullres": 130.0}}}})
    adata.obs = adata.obs[[]]

    assert read_h5ad_section(write(adata, tmp_path)).mpp is None


@pytest.mark.parametrize("keep", [0, 100, 5000, -200])
def test_a_truncated_file(tmp_path: Path, keep: int) -> None:
    path = write(section(), tmp_path)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match=r"section\.h5ad is truncated or not an h5ad file .*; fetch it again"):
        read_h5ad_section(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.h5ad is not there"):
        read_h5ad_section(tmp_path / "absent.h5ad")
