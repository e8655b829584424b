"""Space Ranger output of every version: the same section whatever its layout, and a sentence for what is wrong."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_sections import write_10x_h5
from scipy.io import mmwrite
from scipy.sparse import csc_matrix

from stbench.errors import DataError
from stbench.slides.image import open_image
from stbench.slides.readers.images import store_embedded
from stbench.slides.readers.spaceranger import COLUMNS, is_spaceranger, read_spaceranger
from stbench.slides.readers.spaceranger_files import find_run
from stbench.slides.readers.visium import visium_scale

MUSCLE = "visium_muscle/Vis5A_2dpi"
FULLRES_MPP = 0.5
GENES = [("ENSG01", "TP53"), ("ENSG02", "TBCE"), ("ENSG03", "TBCE"), ("CD3", "CD3")]
KINDS = ["Gene Expression"] * 3 + ["Antibody Capture"]


def places() -> pd.DataFrame:
    """A 6 × 6 hexagonal array; the first row is not in tissue."""
    row, col = np.divmod(np.arange(36), 6)
    col = 2 * col + row % 2
    y, x = 1000 + row * 50 * np.sqrt(3) / FULLRES_MPP, 2000 + col * 50 / FULLRES_MPP
    names = [f"AAAC{i:02d}-1" for i in range(36)]
    return pd.DataFrame(dict(zip(COLUMNS, [names, (row > 0).astype(int), row, col, y, x], strict=True)))


def counts(n: int) -> np.ndarray:
    return np.random.default_rng(0).poisson(1.0, (n, len(GENES)))


def write_positions(spatial: Path, layout: str) -> None:
    table = places()
    if layout == "v1":
        table.to_csv(spatial / "tissue_positions_list.csv", header=False, index=False)
    elif layout == "v2":
        table.to_csv(spatial / "tissue_positions.csv", index=False)
    else:
        table.to_parquet(spatial / "tissue_positions.parquet")


def write_h5(path: Path, barcodes: list[str], matrix: np.ndarray) -> None:
    write_10x_h5(path, barcodes, GENES, KINDS, matrix)


def write_mtx(folder: Path, barcodes: list[str], matrix: np.ndarray) -> None:
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, csc_matrix(matrix.T))
    rows = "".join(f"{gene}\t{symbol}\t{kind}\n" for (gene, symbol), kind in zip(GENES, KINDS, strict=True))
    (folder / "features.tsv.gz").write_bytes(gzip.compress(rows.encode()))
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress("".join(f"{b}\n" for b in barcodes).encode()))


def run(folder: Path, layout: str = "v2", matrix: str = "filtered_feature_bc_matrix.h5") -> Path:
    """Output of a run with images of a tenth and a fiftieth of full resolution."""
    outs = folder / "sample" / "outs"
    (outs / "spatial").mkdir(parents=True)
    write_positions(outs / "spatial", layout)
    factors = {"tissue_hires_scalef": 0.1, "tissue_lowres_scalef": 0.02, "fiducial_diameter_fullres": 210.0}
    (outs / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    for name, side in (("hires", 500), ("lowres", 100)):
        pixels = np.full((side, side, 3), 200, np.uint8)
        shutil.copy(store_embedded(pixels, folder), outs / "spatial" / f"tissue_{name}_image.png")
    table = places()
    everything = counts(len(table))
    kept = np.arange(36) if matrix.startswith("raw") else np.flatnonzero(table["in_tissue"])[::-1]
    write = write_h5 if matrix.endswith(".h5") else write_mtx
    write(outs / matrix, [table["barcode"][i] for i in kept], everything[kept])
    return outs


def test_injured_muscle(test_data: Path, cache_dir: Path) -> None:
    section = read_spaceranger(test_data / MUSCLE)

    adata = section.adata
    assert adata.shape == (982, 33217)
    assert (adata.X.format, adata.X.dtype, adata.X.max()) == ("csr", np.int32, 1823)
    assert adata.var.loc["ENSMUSG00000051951", "symbol"] == "Xkr4"
    assert section.mpp == pytest.approx(3.994, abs=0.001)
    assert section.mpp_source.startswith("array pitch: rows 86.6 µm = 21.73 px")
    assert (section.spot_um, section.grid, section.technology) == (55.0, "hex", "Visium")
    assert section.image is not None
    size = open_image(section.image, cache_dir).size
    assert size == (2000, 1963)
    assert (adata.obsm["spatial"] < size).all()
    assert adata.obs.loc["AAACATTTCCCGGATT-1", ["array_row", "array_col"]].tolist() == [61, 97]


def test_rows_of_the_array_run_down_the_image(test_data: Path) -> None:
    adata = read_spaceranger(test_data / MUSCLE / "outs").adata

    x, y = adata.obsm["spatial"].T
    assert abs(np.corrcoef(adata.obs["array_row"], y)[0, 1]) > 0.999
    assert abs(np.corrcoef(adata.obs["array_col"], x)[0, 1]) > 0.999


def test_what_the_diameters_of_space_ranger_measure(test_data: Path) -> None:
    """Against the array's pitch a fiducial is 105 µm wide and a spot 65 µm, not 55."""
    mpp_hires = read_spaceranger(test_data / MUSCLE).mpp
    factors = json.loads((test_data / MUSCLE / "outs/spatial/scalefactors_json.json").read_text())
    assert mpp_hires is not None
    mpp = mpp_hires * factors["tissue_hires_scalef"]

    assert factors["fiducial_diameter_fullres"] * mpp == pytest.approx(105, rel=0.005)
    assert factors["spot_diameter_fullres"] * mpp == pytest.approx(65, rel=0.005)


@pytest.mark.parametrize("matrix", ["filtered_feature_bc_matrix.h5", "filtered_feature_bc_matrix"])
@pytest.mark.parametrize("layout", ["v1", "v2", "parquet"])
def test_layouts_of_all_versions_give_the_same_section(tmp_path: Path, layout: str, matrix: str) -> None:
    outs = run(tmp_path, layout, matrix)

    assert is_spaceranger(outs)
    assert is_spaceranger(outs.parent)
    section = read_spaceranger(outs.parent)

    table = places().set_index("barcode")
    assert list(section.adata.obs_names) == list(table.index[:5:-1])
    assert section.adata.X.toarray().tolist() == counts(36)[:5:-1, :3].tolist()
    assert list(section.adata.var_names) == ["ENSG01", "ENSG02", "ENSG03"]
    assert list(section.adata.var["symbol"]) == ["TP53", "TBCE", "TBCE"]
    expected = table.loc[section.adata.obs_names, ["pxl_col_in_fullres", "pxl_row_in_fullres"]] * 0.1
    np.testing.assert_allclose(section.adata.obsm["spatial"], expected)
    assert section.adata.obs["in_tissue"].all()
    assert section.mpp == pytest.approx(FULLRES_MPP * 10)
    assert "1 features other than gene expression were left out" in section.notes


@pytest.mark.parametrize("matrix", ["filtered_feature_bc_matrix.h5", "raw_feature_bc_matrix"])
@pytest.mark.parametrize("spatial", ["spatial", "S1_spatial", "S1_spatial/spatial"])
def test_names_may_begin_with_the_samples(tmp_path: Path, spatial: str, matrix: str) -> None:
    outs = run(tmp_path, matrix=matrix)
    plain, files = read_spaceranger(outs), len(find_run(outs).every_file())
    (outs / matrix).rename(outs / f"S1_{matrix}")
    (outs / "spatial").rename(outs / "moved")
    (outs / spatial).parent.mkdir(exist_ok=True)
    (outs / "moved").rename(outs / spatial)

    named = read_spaceranger(outs.parent)

    assert is_spaceranger(outs)
    assert named.adata.X.toarray().tolist() == plain.adata.X.toarray().tolist()
    assert named.image == outs / spatial / "tissue_hires_image.png"
    assert named.mpp == plain.mpp
    assert len(find_run(outs.parent).every_file()) == files


def test_two_samples_in_one_folder_are_refused(tmp_path: Path) -> None:
    outs = run(tmp_path)
    (outs / "filtered_feature_bc_matrix.h5").rename(outs / "S1_filtered_feature_bc_matrix.h5")
    shutil.copy(outs / "S1_filtered_feature_bc_matrix.h5", outs / "S2_filtered_feature_bc_matrix.h5")

    with pytest.raises(DataError, match=r"holds S1_filt.* and S2_filt.*\.h5; give each sample a folder of its own"):
        read_spaceranger(outs)


@pytest.mark.parametrize("matrix", ["raw_feature_bc_matrix.h5", "raw_feature_bc_matrix"])
def test_of_a_raw_matrix_only_spots_in_tissue_remain(tmp_path: Path, matrix: str) -> None:
    section = read_spaceranger(run(tmp_path, matrix=matrix))

    assert section.adata.n_obs == 30
    assert f"no filtered matrix: of the 36 spots of {matrix}, 30 are in tissue" in section.notes


def test_coordinates_are_those_of_the_image(tmp_path: Path) -> None:
    outs = run(tmp_path)
    hires = read_spaceranger(outs)
    full = read_spaceranger(outs, tmp_path / "full.tif")
    (outs / "spatial" / "tissue_hires_image.png").unlink()
    lowres = read_spaceranger(outs)

    np.testing.assert_allclose(full.adata.obsm["spatial"] * 0.1, hires.adata.obsm["spatial"])
    np.testing.assert_allclose(full.adata.obsm["spatial"] * 0.02, lowres.adata.obsm["spatial"])
    assert [full.mpp, hires.mpp, lowres.mpp] == pytest.approx([0.5, 5, 25])
    assert full.image == tmp_path / "full.tif"
    assert lowres.image == outs / "spatial" / "tissue_lowres_image.png"


def test_a_given_image_needs_no_scalefactors(tmp_path: Path) -> None:
    outs = run(tmp_path)
    (outs / "spatial" / "scalefactors_json.json").unlink()

    assert read_spaceranger(outs, tmp_path / "full.tif").mpp == pytest.approx(0.5)
    with pytest.raises(DataError, match=r"scalefactors_json\.json is not there; .* or give the full-resolution image"):
        read_spaceranger(outs)


def test_a_stretched_image_is_noted() -> None:
    table = places()
    array, pixels = table[["array_row", "array_col"]], table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()

    straight, stretched = (visium_scale(array, pixels * [s, 1], {}, 1.0) for s in (1.015, 1.05))

    assert straight.notes == ()
    assert stretched.mpp == pytest.approx(FULLRES_MPP / np.sqrt(1.05))
    assert "the image may be stretched" in stretched.notes[0]


def test_pixels_that_do_not_follow_the_array_give_way_to_the_fiducials() -> None:
    table = places()
    pixels = table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    shuffled = np.random.default_rng(0).permutation(pixels)

    scale = visium_scale(table[["array_row", "array_col"]], shuffled, {"fiducial_diameter_fullres": 210}, 0.1)

    assert scale.mpp == pytest.approx(5.0)
    assert scale.source == "fiducial_diameter_fullres (105 µm)"
    assert "array positions and pixel centres disagree" in scale.notes[0]


def test_fiducials_that_contradict_the_pitch_are_noted(tmp_path: Path) -> None:
    outs = run(tmp_path)
    path = outs / "spatial" / "scalefactors_json.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fiducial_diameter_fullres": 150}))

    section = read_spaceranger(outs)

    assert section.mpp == pytest.approx(5.0)
    assert any("the array's pitch says 5 µm/px, fiducial" in note for note in section.notes)


@pytest.mark.parametrize("hd", ["binned_outputs", "square_008um"])
def test_visium_hd_is_refused(tmp_path: Path, hd: str) -> None:
    outs = run(tmp_path)
    (outs / hd).mkdir()

    assert is_spaceranger(outs)
    with pytest.raises(DataError, match="is Visium HD output"):
        read_spaceranger(outs)


def test_other_folders_are_not_space_ranger(tmp_path: Path) -> None:
    (tmp_path / "spatial").mkdir()

    assert not is_spaceranger(tmp_path)
    assert not is_spaceranger(tmp_path / "absent")
    with pytest.raises(DataError, match=r"none of filtered_feature_bc_matrix\.h5, .* is there; give the folder outs/"):
        read_spaceranger(tmp_path)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("filtered_feature_bc_matrix.h5", "is truncated or not a count matrix"),
        ("spatial/tissue_positions.csv", "a row is incomplete|not a table of tissue positions"),
        ("spatial/scalefactors_json.json", "is truncated or not JSON"),
    ],
)
def test_truncated_files(tmp_path: Path, file: str, reason: str) -> None:
    path = run(tmp_path) / file
    whole = path.read_bytes()
    cut = whole.rindex(b",") if path.suffix == ".csv" else len(whole) // 2
    path.write_bytes(whole[:cut])

    with pytest.raises(DataError, match=rf"{path.name}.*({reason}).*; give the folder outs/"):
        read_spaceranger(path.parents[1] if path.parent.name == "spatial" else path.parent)


def test_a_truncated_parquet_and_a_truncated_mtx(tmp_path: Path) -> None:
    outs = run(tmp_path, "parquet", "filtered_feature_bc_matrix")
    parquet, mtx = outs / "spatial/tissue_positions.parquet", outs / "filtered_feature_bc_matrix/matrix.mtx.gz"
    whole = parquet.read_bytes()
    parquet.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"tissue_positions\.parquet is truncated"):
        read_spaceranger(outs)

    parquet.write_bytes(whole)
    mtx.write_bytes(mtx.read_bytes()[:-30])
    with pytest.raises(DataError, match="filtered_feature_bc_matrix is truncated"):
        read_spaceranger(outs)


def test_positions_cut_between_two_rows(tmp_path: Path) -> None:
    outs = run(tmp_path)
    path = outs / "spatial" / "tissue_positions.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))

    with pytest.raises(DataError, match=r"2 of 30 spots of filtered_feature_bc_matrix\.h5 \(AAAC35-1, …\) have no pos"):
        read_spaceranger(outs)


def test_gene_ids_must_be_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "GENES", [("ENSG01", "A"), ("ENSG01", "B"), ("ENSG03", "C"), ("CD3", "CD3")])

    with pytest.raises(DataError, match="gene ENSG01 appears twice; ids must be unique"):
        read_spaceranger(run(tmp_path))


@pytest.mark.parametrize(("value", "reason"), [(-1.0, "a value is negative"), (0.5, "a value is fractional")])
def test_values_that_are_not_counts(tmp_path: Path, value: float, reason: str) -> None:
    outs = run(tmp_path)
    matrix = counts(36)[6:].astype(float)
    matrix[3, 1] = value
    write_h5(outs / "filtered_feature_bc_matrix.h5", list(places()["barcode"][6:]), matrix)

    with pytest.raises(DataError, match=rf"filtered_feature_bc_matrix\.h5: {reason}.*; give raw counts"):
        read_spaceranger(outs)
