"""dlpfc, from a server that offers small files under the published names, and from folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from made_sections import dlpfc_layers, publish_dlpfc, visium_counts, visium_places

from stbench.datasets import DatasetContext
from stbench.datasets.dlpfc import DLPFC, LAYERS
from stbench.errors import DataError
from stbench.protocols.st_gchb_2024 import ST_GCHB_2024, ST_GCHB_2024_CLEAN
from stbench.protocols.v1 import STBENCH_REGIONS_V1

SECTIONS = [sample.section for sample in DLPFC.samples]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What site and repository offer."""
    folder = tmp_path_factory.mktemp("published")
    for seed, section in enumerate(SECTIONS):
        publish_dlpfc(folder, section, seed)
    (folder / "10X" / LAYERS).write_text(dlpfc_layers(SECTIONS))
    return folder


@pytest.fixture
def online(published: Path, site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(published, site[0], dirs_exist_ok=True)
    for name in ("SITE", "REPOSITORY"):
        monkeypatch.setattr(f"stbench.datasets.dlpfc.{name}", site[1].rpartition("/")[0])
    return site[0]


@pytest.fixture
def data_dir(published: Path, tmp_path: Path) -> Path:
    """Three sections of two donors as somebody put them into folders, with their layers."""
    folder = tmp_path / "given" / "dlpfc"
    for section in ("151507", "151673", "151674"):
        shutil.copytree(published / "10X" / section, folder / section)
        shutil.copy(published / "h5" / f"{section}_filtered_feature_bc_matrix.h5", folder / section)
        shutil.copy(published / "images" / f"{section}_full_image.tif", folder / section)
    (folder / LAYERS).write_text(dlpfc_layers(["151507", "151673"]))
    return folder.parent


def opened(data_dir: Path | None, cache_dir: Path) -> DLPFC:
    return DLPFC(DatasetContext(cache_dir, data_dir))


def test_all_sections_come_from_site_and_repository(online: Path, tmp_path: Path) -> None:
    infos = opened(None, tmp_path).slides()

    assert [info.id for info in infos] == SECTIONS
    assert [info.patient for info in infos] == ["Br5292"] * 4 + ["Br5595"] * 4 + ["Br8100"] * 4
    assert all(info.has_image and info.has_regions and info.grid == "hex" for info in infos)


def test_a_download_that_was_cut_off_goes_on(online: Path, tmp_path: Path) -> None:
    image = online / "images" / "151672_full_image.tif"
    kept = image.rename(online / "kept.tif")
    with pytest.raises(DataError, match=r"^dlpfc 151672 is not here and cannot be downloaded from .*tif \(404"):
        opened(None, tmp_path).slides()
    kept.rename(image)
    (online / "images" / "151507_full_image.tif").unlink()  # it is here already

    assert len(opened(None, tmp_path).slides()) == 12


def test_layers_that_could_not_be_fetched_are_asked_for_again(online: Path, tmp_path: Path) -> None:
    layers = (online / "10X" / LAYERS).rename(online / "kept.tsv")
    for _ in range(2):
        with pytest.raises(DataError, match=rf"dlpfc {LAYERS} is not here and cannot be downloaded"):
            opened(None, tmp_path).slides()
    layers.rename(tmp_path / "data" / "dlpfc" / LAYERS)  # by hand

    assert all(info.has_regions for info in opened(None, tmp_path).slides())


def test_counts_places_and_layers_are_those_of_the_files(data_dir: Path, cache_dir: Path) -> None:
    slide = opened(data_dir, cache_dir).load("151507")

    places = visium_places().query("in_tissue == 1").set_index("barcode")
    assert slide.adata.X.toarray().tolist() == visium_counts(0).tolist()
    np.testing.assert_array_equal(slide.array_positions, places[["array_row", "array_col"]])
    np.testing.assert_allclose(slide.centers_px, places[["pxl_col_in_fullres", "pxl_row_in_fullres"]])
    assert slide.image.size == (260, 280)
    layers = slide.adata.obs["region"]
    assert layers.tolist() == ["WM" if row < 6 else "L1" for row in places["array_row"]]
    assert opened(data_dir, cache_dir).load("151673").adata.obs["region"].isna().sum() == 1


def test_a_few_sections_are_a_data_set(data_dir: Path, cache_dir: Path) -> None:
    dlpfc = opened(data_dir, cache_dir)

    infos = dlpfc.slides()

    assert [(info.id, info.has_regions) for info in infos] == [("151507", True), ("151673", True), ("151674", False)]
    assert "region" not in dlpfc.load("151674").adata.obs
    assert [fold.id for fold in ST_GCHB_2024.folds(infos)] == ["151673", "151674"]
    assert [fold.id for fold in ST_GCHB_2024_CLEAN.folds(infos)] == ["Br5292", "Br8100"]
    assert [[part.slide for part in fold.test] for fold in STBENCH_REGIONS_V1.folds(infos)] == [["151507"], ["151673"]]


def test_other_layers_are_another_revision(data_dir: Path, cache_dir: Path) -> None:
    before = opened(data_dir, cache_dir).revision
    (data_dir / "dlpfc" / LAYERS).write_text(dlpfc_layers(["151507"]))

    assert opened(data_dir, cache_dir).revision != before


def test_layers_that_are_no_table_are_named(data_dir: Path, cache_dir: Path) -> None:
    (data_dir / "dlpfc" / LAYERS).write_text("AAAC000-1,151507,L1\n")

    with pytest.raises(DataError, match=rf"{LAYERS}, line 1: barcode, section and layer are needed"):
        opened(data_dir, cache_dir).slides()


def test_a_section_by_half_is_named(data_dir: Path, cache_dir: Path) -> None:
    (data_dir / "dlpfc" / "151673" / "tissue_positions_list.txt").unlink()

    with pytest.raises(DataError, match=r"lacks 151673/tissue_positions_list\.txt; add what is missing"):
        opened(data_dir, cache_dir).slides()


def test_nothing_here_and_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stbench.datasets.dlpfc.SITE", "http://127.0.0.1:9")

    with pytest.raises(DataError, match=r"dlpfc 151507 is not here .*; put 151507/ with .* and so on to 151676/"):
        opened(None, tmp_path).slides()
