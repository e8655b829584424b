"""cscc: sections from GEO's archive or a folder in any arrangement, the panel by path, a sentence for what is wrong."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_sections import CSCC_MPP, CSCC_STEP_PX, SYMBOLS, cscc_counts, cscc_positions, publish_cscc, write_gzip
from PIL import Image

from stbench.datasets import DatasetContext
from stbench.datasets.cscc import CSCC
from stbench.datasets.unpack import Archive
from stbench.errors import DataError
from stbench.protocols.v1 import STBENCH_V1
from stbench.testing import check_dataset

SECTIONS = ("P2_ST_rep1", "P2_ST_rep2", "P5_ST_rep1", "P10_ST_rep1")
COUNTS, SPOTS, IMAGE = (
    f"GSM4284316_{name}"
    for name in ("P2_ST_rep1_stdata.tsv.gz", "spot_data-selection-P2_ST_rep1.tsv.gz", "P2_ST_rep1.jpg.gz")
)
NEEDED = (
    "counts (P2_ST_rep1_stdata.tsv.gz), spots (spot_data-selection-P2_ST_rep1.tsv.gz) and image (P2_ST_rep1.jpg) of "
    "each section, as GSE144240_RAW.tar holds them"
)
HEADER = "x\ty\tpixel_x\tpixel_y"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sections of one patient and one of each of two others."""
    for n, section in enumerate(SECTIONS):
        publish_cscc(tmp_path / "given" / "cscc", section, seed=n, gsm=4284316 + n)
    return tmp_path / "given" / "cscc"


def opened(data_dir: Path | None, cache_dir: Path) -> CSCC:
    return CSCC(DatasetContext(cache_dir, data_dir))


def test_sections_come_in_the_order_of_their_numbers(folder: Path, cache_dir: Path) -> None:
    infos = opened(folder.parent, cache_dir).slides()

    assert [(i.id, i.patient) for i in infos] == list(zip(SECTIONS, ("P2", "P2", "P5", "P10"), strict=True))
    assert {(i.technology, i.organ, i.species, i.grid, i.spot_um) for i in infos} == {
        ("ST", "skin", "human", "square", 100.0)
    }


def test_spots_are_those_below_tissue_that_have_counts(folder: Path, cache_dir: Path) -> None:
    slide = opened(folder, cache_dir).load("P2_ST_rep1")

    positions = cscc_positions()
    kept = (positions[:, 0] >= 4) & ~(positions == 4).all(1)
    assert list(slide.adata.obs_names) == [f"{x}x{y}" for x, y in positions[kept]]
    np.testing.assert_array_equal(slide.adata.X.toarray(), cscc_counts(0)[kept])
    assert list(slide.adata.var_names) == SYMBOLS
    np.testing.assert_array_equal(slide.array_positions, positions[kept][:, ::-1])  # row = y, column = x
    np.testing.assert_allclose(slide.centers_px, positions[kept] * CSCC_STEP_PX + [4, 2])
    assert slide.image.size == (300, 310)


def test_on_a_checkerboard_the_nearest_spots_are_150_um_apart(folder: Path, cache_dir: Path) -> None:
    slide = opened(folder, cache_dir).load("P5_ST_rep1")

    distance = np.linalg.norm(slide.centers_px[1:] - slide.centers_px[0], axis=1).min()
    assert distance * slide.mpp == pytest.approx(150)
    assert slide.mpp == pytest.approx(CSCC_MPP)
    assert slide.info.mpp_source == "array pitch 106.066 µm = 16.0 × 16.0 px of the spot file"


def test_one_misplaced_spot_does_not_make_it_another_array(folder: Path, cache_dir: Path) -> None:
    places = [(x, y) for x in range(20, 40) for y in range(20, 40) if (x + y) % 2 == 0]
    write_gzip(folder / SPOTS, [HEADER, *(f"{x}\t{y}\t{x * 40}\t{y * 40}" for x, y in [*places, (20, 21)])])

    info = opened(folder, cache_dir).slides()[0]

    assert info.mpp == pytest.approx(150 / np.sqrt(2) / 40)


def test_on_a_full_array_they_are_200_um_apart(folder: Path, cache_dir: Path) -> None:
    write_gzip(folder / SPOTS, [HEADER, *(f"{x}\t{y}\t{x * 40}\t{y * 40}" for x in range(4, 8) for y in range(4, 8))])

    info = opened(folder, cache_dir).slides()[0]

    assert info.mpp == pytest.approx(200 / 40)


def without_prefix(folder: Path) -> None:
    for path in folder.iterdir():
        path.rename(path.with_name(path.name.partition("_")[2]))


def unpacked(folder: Path) -> None:
    for path in folder.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def unpacked_beside(folder: Path) -> None:
    for path in folder.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))


def a_folder_per_patient(folder: Path) -> None:
    for path in list(folder.iterdir()):
        target = folder / "GSE144240_RAW" / path.name.split("P")[1].split("_")[0]
        target.mkdir(parents=True, exist_ok=True)
        path.rename(target / path.name)


@pytest.mark.parametrize("arrange", [without_prefix, unpacked, unpacked_beside, a_folder_per_patient])
def test_every_arrangement_is_the_same_data_set(folder: Path, cache_dir: Path, arrange: Callable[[Path], None]) -> None:
    infos, before = opened(folder, cache_dir).slides(), opened(folder, cache_dir).load("P2_ST_rep2")

    arrange(folder)

    after = opened(folder, cache_dir).load("P2_ST_rep2")
    assert opened(folder, cache_dir).slides() == infos
    assert after.adata.obs.equals(before.adata.obs)
    np.testing.assert_array_equal(after.adata.X.toarray(), before.adata.X.toarray())
    np.testing.assert_array_equal(after.image.read(0, 0, 50, 50), before.image.read(0, 0, 50, 50))


def test_the_archive_is_downloaded(
    folder: Path, tmp_path: Path, site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "GSM4284401_another_experiment.txt.gz").write_bytes(b"of the same series")
    with tarfile.open(site[0] / "GSE144240_RAW.tar", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    url = site[1].replace("set.tar.gz", "GSE144240_RAW.tar")
    monkeypatch.setattr("stbench.datasets.cscc.ARCHIVE", Archive(url))
    cscc = opened(None, tmp_path / "cache")

    assert cscc.locate() is None
    assert cscc.load("P10_ST_rep1").n_spots == 111
    assert cscc.locate() == tmp_path / "cache" / "data" / "cscc"
    assert cscc.revision == opened(folder, tmp_path / "cache").revision


def test_an_archive_that_is_cut_off(
    folder: Path, tmp_path: Path, site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site[0] / "GSE144240_RAW.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder / IMAGE, IMAGE)
    path.write_bytes(path.read_bytes()[:5000])
    monkeypatch.setattr("stbench.datasets.cscc.ARCHIVE", Archive(site[1].replace("set.tar.gz", path.name)))

    with pytest.raises(DataError, match=r"RAW\.tar: the archive is damaged .* run the command again, or put counts \("):
        opened(None, tmp_path / "cache").slides()
    assert opened(None, tmp_path / "cache").locate() is None


def test_the_headlines_folds_leave_a_patient_out(folder: Path, cache_dir: Path) -> None:
    folds = STBENCH_V1.folds(opened(folder, cache_dir).slides())

    assert {fold.id: [part.slide for part in fold.test] for fold in folds} == {
        "P2": ["P2_ST_rep1", "P2_ST_rep2"],
        "P5": ["P5_ST_rep1"],
        "P10": ["P10_ST_rep1"],
    }


def test_the_data_set_keeps_its_contract(folder: Path) -> None:
    report = check_dataset("cscc", data_dir=folder.parent)

    assert {o.status for o in report.outcomes} == {"passed"}


@pytest.mark.parametrize("place", ["given/cscc", "given/cscc/panels", "given", "cache/data"])
@pytest.mark.parametrize("name", ["skin_hvg_cut_1000.npy", "skin_hvg_cut_1000.txt"])
def test_the_panel_is_found_where_it_is_put_and_belongs_to_the_data(
    folder: Path, tmp_path: Path, place: str, name: str
) -> None:
    before = opened(folder.parent, tmp_path / "cache").revision
    path = tmp_path / place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, np.array(["G7", "G3"]))
    else:
        path.write_text("G7\nG3\n")

    cscc = opened(folder.parent, tmp_path / "cache")

    assert cscc.load("P2_ST_rep1").adata.uns["panel"] == ["G7", "G3"]
    assert cscc.revision != before
    assert cscc.files()[-1].name == name


def test_without_the_panel_the_slides_carry_none(folder: Path, cache_dir: Path) -> None:
    assert "panel" not in opened(folder, cache_dir).load("P2_ST_rep1").adata.uns


def test_listing_the_slides_reads_neither_images_nor_counts(folder: Path, cache_dir: Path) -> None:
    for path in [*folder.glob("*.jpg.gz"), *folder.glob("*_stdata.tsv.gz")]:
        path.write_bytes(b"neither")

    assert len(opened(folder, cache_dir).slides()) == 4


def test_a_section_without_an_image_is_listed(folder: Path, cache_dir: Path) -> None:
    (folder / IMAGE).unlink()

    first, *others = opened(folder, cache_dir).slides()

    assert (first.has_image, [i.has_image for i in others]) == (False, [True] * 3)
    assert first.image_missing == f"no image of P2_ST_rep1 (like P2_ST_rep1.jpg) in {folder}"
    assert opened(folder, cache_dir).load("P2_ST_rep1").n_spots == 111


def test_nothing_here_and_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stbench.datasets.cscc.ARCHIVE", Archive("http://127.0.0.1:9/GSE144240_RAW.tar"))

    with pytest.raises(DataError) as caught:
        opened(None, tmp_path).slides()

    assert str(caught.value) == (
        "cscc is not here and cannot be downloaded from http://127.0.0.1:9/GSE144240_RAW.tar (Connection refused); put "
        f"{NEEDED} into a folder and give it as --data-dir, or into {tmp_path}/data/cscc"
    )


def test_a_folder_without_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "given", tmp_path / "cache").slides()

    assert str(caught.value) == (
        f"cscc: {tmp_path}/given does not hold {NEEDED}; looked there and in cscc/ below it. Put it there, give "
        f"another --data-dir, or put it into {tmp_path}/cache/data/cscc and give none"
    )


@pytest.mark.parametrize(("gone", "kind"), [(SPOTS, "spots"), (COUNTS, "counts")])
@pytest.mark.parametrize("where", ["data dir", "cache"])
def test_a_table_that_is_missing_is_named(folder: Path, tmp_path: Path, gone: str, kind: str, where: str) -> None:
    (folder / gone).unlink()
    (tmp_path / "cache").mkdir()
    place = folder if where == "data dir" else folder.parent.rename(tmp_path / "cache" / "data") / "cscc"

    with pytest.raises(DataError) as caught:
        opened(folder if where == "data dir" else None, tmp_path / "cache").slides()

    name = gone.partition("_")[2]
    assert str(caught.value) == f"cscc: {place} lacks {kind} of P2_ST_rep1 ({name}); add what is missing"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (COUNTS, "is truncated or not a table of counts"),
        (SPOTS, "is truncated or not a table"),
        (IMAGE, "is truncated or not gzipped"),
    ],
)
def test_truncated_files(folder: Path, cache_dir: Path, name: str, sentence: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])

    with pytest.raises(DataError, match=rf"{name} {sentence} .*; fetch it again"):
        opened(folder, cache_dir).load("P2_ST_rep1")
    assert not [path for path in cache_dir.rglob(".*P2_ST_rep1*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "lines", "sentence"),
    [
        (SPOTS, ["x\ty", "4\t4"], "column pixel_x, pixel_y is missing; found: x, y"),
        (SPOTS, [HEADER, "4\t4\ta\t1"], "coordinates must be numbers"),
        (SPOTS, [HEADER, "4\t6\t1\t1", "4.2\t6.1\t2\t2"], "spot 4x6 is listed twice"),
        (SPOTS, [HEADER, "90\t90\t1\t1", "91\t91\t2\t2"], "no spot of the count table is in the spot file; are they"),
        (COUNTS, ["\tG1", "4x6\t0.5"], "values are not counts"),
    ],
)
def test_tables_that_say_something_else(
    folder: Path, cache_dir: Path, name: str, lines: list[str], sentence: str
) -> None:
    write_gzip(folder / name, lines)

    with pytest.raises(DataError, match=rf"{name}.*{sentence}"):
        opened(folder, cache_dir).load("P2_ST_rep1")


def test_spots_that_lie_outside_of_the_image(folder: Path, cache_dir: Path) -> None:
    Image.new("RGB", (200, 310)).save(folder / "P2_ST_rep1.jpg")
    (folder / IMAGE).unlink()

    with pytest.raises(DataError, match=r"slide P2_ST_rep1: \d+ of 111 spots lie outside of .*rep1\.jpg \(200 × 310"):
        opened(folder, cache_dir).load("P2_ST_rep1")


def test_a_section_that_does_not_exist(folder: Path, cache_dir: Path) -> None:
    with pytest.raises(DataError, match=r"cscc has no section 'P2' in .*; it has P2_ST_rep1, P2_ST_rep2, P5_ST_rep1"):
        opened(folder, cache_dir).load("P2")
