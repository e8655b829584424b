"""Count table, coordinate table, image: found by content, joined by the spots' names."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from stbench.errors import DataError
from stbench.slides.readers.plain import find_plain, read_plain
from stbench.slides.readers.section import Section

COUNTS = "\tG1\tG2\n1x1\t0\t3\n2x1\t5\t0\n1x2\t1\t1\n9x9\t7\t7\n"
SPOTS = "x,y,pixel_x,pixel_y\n1,1,100,100\n2,1,200,100\n1,2,100,200\n5,5,500,500\n"


def folder_of(folder: Path, counts: str = COUNTS, spots: str = SPOTS) -> Path:
    (folder / "matrix.tsv").write_text(counts)
    (folder / "positions.csv").write_text(spots)
    (folder / "HE.jpg").touch()
    return folder


def read(folder: Path) -> Section:
    found = find_plain(folder)
    assert found is not None
    return read_plain(*found)


def test_olfactory_bulb_on_a_1k_array(test_data: Path) -> None:
    folder = test_data / "mob/Rep11"
    assert find_plain(folder) == (folder / "counts.tsv.gz", folder / "spots.csv", folder / "HE.jpg")

    section = read(folder)

    adata = section.adata
    assert adata.shape == (262, 16218)
    assert (adata.X.format, adata.X.dtype) == ("csr", np.int32)
    assert np.median(np.asarray(adata.X.sum(axis=1))) == 27377.5
    assert adata.obs.loc["16.92x9.015", ["array_row", "array_col", "region"]].tolist() == [9, 17, "Glomerular layer"]
    assert adata.obs["array_row"].dtype == np.int64
    assert adata.obs["region"].value_counts().to_dict()["Granular Cell Layer"] == 82
    assert (section.grid, section.technology, section.spot_um) == ("square", "ST", 100.0)
    assert section.mpp == pytest.approx(2.752, abs=0.001)
    assert section.mpp_source == "array pitch: rows 200 µm = 72.88 px apart, columns 200 µm = 72.47 px apart"
    assert "array coordinates are fractional (adjusted); positions are rounded" in section.notes


@pytest.mark.parametrize(("name", "spots", "inside"), [("MOB1", 1923, 379), ("MOB2", 1925, 407), ("MOB3", 1922, 438)])
def test_olfactory_bulb_on_2k_arrays(test_data: Path, name: str, spots: int, inside: int) -> None:
    folder = test_data / "mob_2k" / name
    assert find_plain(folder) == (folder / "counts.tsv.gz", folder / "alignment_table.tsv", folder / "HE.jpg")

    section = read(folder)

    assert section.adata.shape == (spots, 1000)
    assert section.adata.obs["in_tissue"].sum() == inside
    assert section.adata.obs.loc["10x12", ["array_row", "array_col"]].tolist() == [12, 10]
    assert (section.mpp, section.grid, section.technology) == (None, "square", "ST")
    pitch = next(note for note in section.notes if "px apart" in note)
    assert pitch.startswith("neighbours in a row are 43.2")
    assert pitch.endswith("how many µm is unknown (they differ by 10%: the image may be stretched)")


def test_spots_with_counts_and_coordinates_in_the_order_of_the_counts(tmp_path: Path) -> None:
    section = read(folder_of(tmp_path))

    assert list(section.adata.obs_names) == ["1x1", "2x1", "1x2"]
    assert section.adata.X.toarray().tolist() == [[0, 3], [5, 0], [1, 1]]
    assert section.adata.obsm["spatial"].tolist() == [[100, 100], [200, 100], [100, 200]]
    assert section.adata.obs[["array_row", "array_col"]].to_numpy().tolist() == [[1, 1], [1, 2], [2, 1]]
    assert section.mpp == pytest.approx(2.0)
    assert "1 spots of the count table have no coordinates: left out" in section.notes
    assert "1 spots of the coordinate table have no counts: left out" in section.notes


def test_genes_in_rows_are_transposed(tmp_path: Path) -> None:
    cells = [line.split("\t") for line in COUNTS.splitlines()]
    turned = "".join("\t".join(row) + "\n" for row in zip(*cells, strict=True))

    section = read(folder_of(tmp_path, counts=turned))

    assert list(section.adata.obs_names) == ["1x1", "2x1", "1x2"]
    assert list(section.adata.var_names) == ["G1", "G2"]
    assert section.adata.X.toarray().tolist() == [[0, 3], [5, 0], [1, 1]]
    assert "matrix.tsv is genes × spots: transposed" in section.notes


@pytest.mark.parametrize(
    "counts",
    [
        COUNTS.replace("\t", ","),
        COUNTS.replace("\t", ";"),
        COUNTS[1:],  # as R writes it: no cell above the names
        "\ufeff" + COUNTS.replace("\n", "\r\n"),
        COUNTS.replace("\tG1\tG2", '"spot"\t"G1"\t"G2"').replace("1x1", '"1x1"'),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_dialects(tmp_path: Path, counts: str, zipped: bool) -> None:
    folder = folder_of(tmp_path, counts)
    if zipped:
        plain = folder / "matrix.tsv"
        (folder / "matrix.tsv.gz").write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()

    section = read(folder)

    assert list(section.adata.obs_names) == ["1x1", "2x1", "1x2"]
    assert list(section.adata.var_names) == ["G1", "G2"]
    assert section.adata.X.sum() == 10


@pytest.mark.parametrize(
    "header",
    ["spot,array_row,array_col,x_px,y_px,selected,label", "barcode,row,col,imagecol,imagerow,in_tissue,Region",
     ",ROW,COL,pxl_col_in_fullres,pxl_row_in_fullres,in_tissue,layer"],
)  # fmt: skip
def test_names_of_columns(tmp_path: Path, header: str) -> None:
    rows = "A,1,4,40,10,1,tumour\nB,1,5,50,10,0,\nC,2,4,40,20,1,stroma\n"

    section = read(folder_of(tmp_path, "id\tG1\nC\t1\nA\t2\nB\t3\n", f"{header}\n{rows}"))

    obs = section.adata.obs
    assert list(obs.index) == ["C", "A", "B"]
    assert obs["in_tissue"].tolist() == [True, True, False]
    assert obs["region"].tolist()[:2] == ["stroma", "tumour"]
    assert obs["region"].isna().tolist() == [False, False, True]
    assert obs[["array_row", "array_col"]].to_numpy().tolist() == [[2, 4], [1, 4], [1, 5]]
    assert section.adata.obsm["spatial"][0].tolist() == [40, 20]
    assert (section.technology, section.mpp) == ("", None)


def test_visium_as_tables_is_told_by_its_hexagons(tmp_path: Path) -> None:
    places = [(r, 2 * c + r % 2) for r in range(5) for c in range(5)]
    spots = "".join(f"s{r}_{c},{r},{c},{c * 25 + 10},{r * 25 * np.sqrt(3) + 10}\n" for r, c in places)
    counts = "".join(f"s{r}_{c}\t1\n" for r, c in places)

    section = read(folder_of(tmp_path, "\tG1\n" + counts, "barcode,array_row,array_col,imagecol,imagerow\n" + spots))

    assert (section.grid, section.technology, section.spot_um) == ("hex", "Visium", 55.0)
    assert section.mpp == pytest.approx(2.0)


def test_rounded_positions_that_coincide_make_no_grid(tmp_path: Path) -> None:
    spots = "spot,x,y,pixel_x,pixel_y\nA,1.1,1,11,10\nB,0.9,1,9,10\nC,1,2,10,20\n"

    section = read(folder_of(tmp_path, "\tG1\nA\t1\nB\t1\nC\t1\n", spots))

    assert (section.grid, section.mpp) == ("none", None)
    assert section.adata.obs["array_col"].tolist() == [1.1, 0.9, 1.0]
    assert "rounded array coordinates coincide; the spots are taken to have no grid" in section.notes


def test_without_array_positions_the_centres_stand_in(tmp_path: Path) -> None:
    section = read(folder_of(tmp_path, "\tG1\nA\t1\nB\t1\n", "spot,pixel_x,pixel_y\nA,10.5,20\nB,30,40\n"))

    assert section.grid == "none"
    assert section.adata.obs[["array_row", "array_col"]].to_numpy().tolist() == [[20, 10.5], [40, 30]]


def test_folders_that_are_something_else(test_data: Path, tmp_path: Path) -> None:
    assert find_plain(test_data / "her2st/ST-cnts") is None
    assert find_plain(test_data / "visium_muscle/Vis5A_2dpi/outs/spatial") is None
    assert find_plain(tmp_path) is None
    assert find_plain(tmp_path / "absent") is None
    assert find_plain(folder_of(tmp_path, COUNTS.replace("x", "_"))) is None  # names that do not match


def test_of_several_images_none_is_chosen_and_of_several_tables_neither(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "mask.png").touch()
    (folder / "notes.txt").write_text("sectioned on Monday\nstained on Tuesday\n")
    assert find_plain(folder) == (folder / "matrix.tsv", folder / "positions.csv", None)

    (folder / "normalised.tsv").write_text(COUNTS)
    with pytest.raises(DataError, match=r"several tables of one kind \(matrix\.tsv, normalised\.tsv, positions\.csv\)"):
        find_plain(folder)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("", "matrix.tsv has no rows below its header"),
        ("\tG1\tG2\n1x1\t1\t2\n2x1\t1\n", "matrix.tsv is truncated or not a table of counts"),
        ("\tG1\tG2\n1x1\t1\tmany\n", "matrix.tsv is truncated or not a table of counts .*many"),
        ("\tG1\tG2\n1x1\t1\t0.5\n", "matrix.tsv: a value is fractional"),
        ("\tG1\tG2\n1x1\t1\t-1\n", "matrix.tsv: a value is negative"),
        ("\tG1\tG2\n1x1\t1\t\n", "matrix.tsv: a value is missing"),
        ("\tG1\tG2\n1x1\t1\tnan\n", "matrix.tsv: a value is missing"),
        ("\tG1\tG2\n1x1\t1\t3e9\n", "matrix.tsv: a value is too large"),
        ("\tG1\tG1\n1x1\t1\t1\n", "matrix.tsv: gene G1 appears twice"),
        ("\tG1\tG2\n1x1\t1\t1\n1x1\t1\t1\n", "matrix.tsv: spot 1x1 appears twice"),
        ("\tG1\tG2\nAAAC\t1\t1\n", "matrix.tsv and .*positions.csv: no spot of one is in the other"),
    ],
)
def test_a_wrong_count_table(tmp_path: Path, counts: str, message: str) -> None:
    folder = folder_of(tmp_path, counts)

    with pytest.raises(DataError, match=message):
        read_plain(folder / "matrix.tsv", folder / "positions.csv", None)


@pytest.mark.parametrize(
    ("spots", "message"),
    [
        ("x,y\n1,1\n", "no pixel columns .*; found x, y; rename them"),
        (SPOTS + "1,1,1,1\n", "spot 1x1 appears twice"),
        (SPOTS.replace("2,1,200,100", "2,1,200,"), "columns pixel_x, pixel_y must be numbers .*''"),
        (SPOTS.replace("2,1,200,100", "2,1,200,nan"), "columns pixel_x, pixel_y hold NaN"),
        (SPOTS.replace("2,1,200,100", "2,1,200"), "row 2 has 3 cells, the header 4; the file may be truncated"),
        (SPOTS.replace("2,1,200,100", "2,1,200,100,7"), "row 2 has 5 cells, the header 4"),
    ],
)
def test_a_wrong_coordinate_table(tmp_path: Path, spots: str, message: str) -> None:
    folder = folder_of(tmp_path, spots=spots)

    with pytest.raises(DataError, match=rf"positions\.csv:? {message}"):
        read_plain(folder / "matrix.tsv", folder / "positions.csv", None)


def test_a_truncated_gzip(test_data: Path, tmp_path: Path) -> None:
    whole = (test_data / "mob_2k/MOB1/counts.tsv.gz").read_bytes()
    path = tmp_path / "counts.tsv.gz"

    for kept in (len(whole) // 2, 40, 0):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=r"counts\.tsv\.gz (is truncated|has no rows).*; fetch it again"):
            read_plain(path, test_data / "mob_2k/MOB1/alignment_table.tsv", None)
