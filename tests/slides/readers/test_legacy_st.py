"""Count tables and spot files of ST arrays: what is wrong with one is said in a sentence that names the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from stbench.errors import DataError
from stbench.slides.readers.legacy_st import build, read_counts, read_labels, read_spots

SPOTS = "x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\n"
COUNTS = "\tG1\tG2\tG3\n1x2\t0\t3\t1\n2x2\t5\t0\t0\n9x9\t1\t1\t1\n"


def spot_file(folder: Path, *rows: str, header: str = SPOTS) -> Path:
    path = folder / "A1_selection.tsv"
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def count_table(folder: Path, text: str) -> Path:
    path = folder / "A1.tsv"
    path.write_text(text)
    return path


def row(x: float, y: float) -> str:
    return f"{x:g}\t{y:g}\t{x:g}\t{y:g}\t{x * 291}\t{y * 290}"


def test_spots_are_named_by_coordinates_rounded_half_to_even(tmp_path: Path) -> None:
    spots = read_spots(spot_file(tmp_path, row(2.5, 3.5), row(0.98, 1.02)))

    assert spots.names == ["2x4", "1x1"]
    assert spots.array_xy.tolist() == [[2, 4], [1, 1]]
    assert spots.pixel_xy[0] == pytest.approx([2.5 * 291, 3.5 * 290])


def test_the_pitch_is_read_from_all_spots(tmp_path: Path) -> None:
    spots = read_spots(spot_file(tmp_path, *(row(x, y) for x in range(4) for y in range(5))))

    assert spots.pitch_px() == pytest.approx((291, 290))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((row(1, 2), row(1.1, 2.2)), "spot 1x2 is listed twice; keep one row per spot"),
        (("nan\t1\t1\t1\t5\t5",), "a spot has no coordinates; remove its row or fill it in"),
        (("NA\t1\t1\t1\t5\t5",), "could not convert string to float: 'NA'; coordinates must be numbers"),
        (("1\t1\t1\t1\t\t5",), "could not convert string to float: ''; coordinates must be numbers"),
        (("1\t1\t1\t1\t5",), "a row has another number of columns than the header; fetch the file again"),
    ],
)
def test_a_wrong_spot_file(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=rf"A1_selection\.tsv: .*{message}"):
        read_spots(spot_file(tmp_path, *rows))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column pixel_x, pixel_y is missing; found: x, y"):
        read_spots(spot_file(tmp_path, header="x\ty\n"))


def test_labels_without_coordinates_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text("x\ty\tlabel\n1.2\t2\tadipose tissue\nnan\tnan\tinvasive cancer\n2\t2.1\tinvasive cancer\n")

    assert read_labels(path) == {"1x2": "adipose tissue", "2x2": "invasive cancer"}


def test_counts_are_parsed_once(tmp_path: Path) -> None:
    table, cache = count_table(tmp_path, COUNTS), tmp_path / "cache"

    first = read_counts(table, cache, "digest")
    table.unlink()
    second = read_counts(table, cache, "digest")

    for matrix, spots, genes in (first, second):
        assert matrix.toarray().tolist() == [[0, 3, 1], [5, 0, 0], [1, 1, 1]]
        assert matrix.dtype == np.int32
        assert (spots, genes) == (["1x2", "2x2", "9x9"], ["G1", "G2", "G3"])


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"nonsense", "truncated"])
def test_a_damaged_cache_of_counts_is_made_again(tmp_path: Path, damage: bytes | str) -> None:
    table, cache = count_table(tmp_path, COUNTS), tmp_path / "cache"
    read_counts(table, cache, "digest")
    (parsed,) = (cache / "counts").iterdir()
    parsed.write_bytes(parsed.read_bytes()[:-40] if isinstance(damage, str) else damage)

    matrix, _, _ = read_counts(table, cache, "digest")

    assert matrix.sum() == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is truncated or not a table of counts"),
        ("\tG1\tG2\n", "is truncated or not a table of counts"),
        ("\tG1\tG2\n1x1\t1\t2\n1x2\t1\n", "is truncated or not a table of counts"),
        ("\tG1\tG2\n1x1\t1\n", "2 genes are named but rows hold 1 values"),
        (
            "\tG1\tG2\n1x1\t1\tmany\n",
            "(is truncated or not a table of counts|2 genes are named but rows hold 1 values)",
        ),
        ("\tG1\tG2\n1x1\t1\t0.5\n", "values are not counts"),
        ("\tG1\tG2\n1x1\t1\t-1\n", "values are not counts"),
        ("\tG1\tG2\n1x1\t1\tnan\n", "values are not counts"),
        ("\tG1\tG2\n1x1\t1\tinf\n", "values are not counts"),
        ("\tG1\tG1\n1x1\t1\t1\n", "gene G1 appears twice; ids must be unique"),
        ("\tG1\n1x1\t1\n1x1\t1\n", "spot 1x1 appears twice; ids must be unique"),
    ],
)
@pytest.mark.filterwarnings("ignore:string or file could not be read:DeprecationWarning")
def test_a_wrong_count_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"A1\.tsv.*{message}"):
        read_counts(count_table(tmp_path, text), tmp_path / "cache", "digest")

    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["cut", "overwritten", "not gzip"])
def test_a_damaged_gzip(tmp_path: Path, damage: str) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"{i}x1\t" + "\t".join(map(str, rng.integers(0, 99, 300))) + "\n" for i in range(50))
    whole = gzip.compress(("\t" + "\t".join(f"G{i}" for i in range(300)) + "\n" + rows).encode())
    middle = len(whole) // 2
    path = tmp_path / "A1.tsv.gz"
    path.write_bytes(
        {
            "cut": whole[:middle],
            "overwritten": whole[:middle] + b"\xff" * 60 + whole[middle + 60 :],
            "not gzip": b"<html>",
        }[damage]
    )

    with pytest.raises(DataError, match=r"A1\.tsv\.gz is truncated or not a table of counts .*; fetch it again"):
        read_counts(path, tmp_path / "cache", "digest")


def test_counts_and_spots_are_joined_by_name_in_the_order_of_the_counts(tmp_path: Path) -> None:
    counts = read_counts(count_table(tmp_path, COUNTS), tmp_path / "cache", "digest")
    spots = read_spots(spot_file(tmp_path, row(2, 2), row(7, 7), row(1, 2)))

    adata = build(counts, spots, 0.5, {"1x2": "tumour"})

    assert list(adata.obs_names) == ["1x2", "2x2"]
    assert adata.X.toarray().tolist() == [[0, 3, 1], [5, 0, 0]]
    assert adata.obsm["spatial"].tolist() == [[145.5, 290.0], [291.0, 290.0]]
    assert adata.obs[["array_row", "array_col"]].to_numpy().tolist() == [[2, 1], [2, 2]]
    assert adata.obs["region"].tolist()[0] == "tumour"
    assert adata.obs["region"].isna().tolist() == [False, True]


def test_tables_of_different_sections_are_noticed(tmp_path: Path) -> None:
    counts = read_counts(count_table(tmp_path, COUNTS), tmp_path / "cache", "digest")

    with pytest.raises(DataError, match="no spot of the count table is in the spot file; are they of the same section"):
        build(counts, read_spots(spot_file(tmp_path, row(30, 30))), 1.0, None)
