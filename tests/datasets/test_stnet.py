"""stnet: sections from the record's archive or from a folder in any arrangement, a sentence for what is wrong."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_sections import GENES, ST_PITCH_PX, publish_stnet, st_counts, st_pixels, st_positions, write_gzip
from PIL import Image

from stbench.datasets import DatasetContext
from stbench.datasets.stnet import STNet
from stbench.datasets.unpack import Archive
from stbench.errors import DataError
from stbench.protocols.sepal_2023 import SEPAL_2023
from stbench.protocols.sepal_splits import STNET_TEST, STNET_TRAIN, STNET_VALIDATION
from stbench.protocols.v1 import STBENCH_V1

TOP = "Human breast cancer in situ capturing transcriptomics"
NEEDED = (
    "counts (BC23287_C1_stdata.tsv.gz), spots (spots_BT23287_C1.csv.gz), annotation (BC23287_C1_Coords.tsv.gz) and "
    "image (HE_BT23287_C1.jpg) of each section"
)
LEFT_OUT = {"5x3": "no annotation", "6x3": "no place", "7x3": "no counts"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sections of one patient and one of another."""
    for seed, (patient, section) in enumerate((("23287", "C1"), ("23287", "C2"), ("23450", "D2"))):
        publish_stnet(tmp_path / "given" / "stnet", patient, section, seed)
    return tmp_path / "given" / "stnet"


def opened(data_dir: Path | None, cache_dir: Path) -> STNet:
    return STNet(DatasetContext(cache_dir, data_dir))


def test_sections_and_patients_are_named_alike_whatever_the_files_say(folder: Path, cache_dir: Path) -> None:
    infos = opened(folder.parent, cache_dir).slides()

    assert [(i.id, i.patient) for i in infos] == [
        ("BC23287_C1", "BC23287"),
        ("BC23287_C2", "BC23287"),
        ("BC23450_D2", "BC23450"),
    ]
    assert {(i.technology, i.grid, i.spot_um, i.has_image) for i in infos} == {("ST", "square", 100.0, True)}
    assert [i.mpp for i in infos] == pytest.approx([200 / ST_PITCH_PX] * 3)
    assert infos[0].mpp_source == "array pitch 200 µm = 20.0 × 20.0 px of the spot file"


def test_spots_are_those_with_counts_a_place_and_an_annotation(folder: Path, cache_dir: Path) -> None:
    slide = opened(folder, cache_dir).load("BC23287_C1")

    positions = st_positions()
    kept = [i for i, (x, y) in enumerate(positions) if f"{x}x{y}" not in LEFT_OUT]
    assert list(slide.adata.obs_names) == [f"{x}x{y}" for x, y in positions[kept]]
    np.testing.assert_array_equal(slide.adata.X.toarray(), st_counts(0)[kept])
    assert list(slide.adata.var_names) == GENES
    np.testing.assert_array_equal(slide.array_positions, positions[kept][:, ::-1])  # row = y, column = x
    np.testing.assert_allclose(slide.centers_px, st_pixels(positions[kept]))
    assert slide.image.size == (270, 240)


def test_regions_are_the_labels_of_the_shifted_table(folder: Path, cache_dir: Path) -> None:
    slide = opened(folder, cache_dir).load("BC23287_C1")

    expected = ["tumor" if row < 7 else "non" for row in slide.adata.obs["array_row"]]
    assert slide.adata.obs["region"].tolist() == expected
    assert set(expected) == {"tumor", "non"}


@pytest.mark.parametrize("header", ["xcoord\tycoord\tlab\ttumor", "\txcoord\tycoord\tlab\ttumor"])
def test_headers_that_are_not_shifted_say_the_same(folder: Path, cache_dir: Path, header: str) -> None:
    path = folder / "BC23287_C1_Coords.tsv.gz"
    shifted = opened(folder, cache_dir).load("BC23287_C1").adata.obs
    write_gzip(path, [header, *gzip.decompress(path.read_bytes()).decode().split("\r")[1:-1]])

    assert opened(folder, cache_dir).load("BC23287_C1").adata.obs.equals(shifted)


def test_annotations_are_of_the_spot_they_round_to(folder: Path, cache_dir: Path) -> None:
    rows = ["xcoord\tycoord\tlab\ttumor\t", "a\t8.46\t3.52\tL0\ttumor", "b\t9.6\t4.4\tL1\tnon", "c\t\t\tL2\tnon"]
    write_gzip(folder / "BC23287_C1_Coords.tsv.gz", rows)

    obs = opened(folder, cache_dir).load("BC23287_C1").adata.obs

    assert dict(obs["region"]) == {"8x4": "tumor", "10x4": "non"}


def as_st_net_expects(folder: Path) -> None:
    """``<subtype>/<patient>/<patient>_<section>.…``, spots in a table of their own form."""
    for path in sorted(folder.iterdir()):
        patient, section = re.findall(r"B[CT](\d+)_([A-Z]\d)", path.name)[0]
        target = folder / "Luminal_A" / f"BC{patient}"
        target.mkdir(parents=True, exist_ok=True)
        if path.name.startswith("spots_"):
            rows = [line.split(",") for line in gzip.decompress(path.read_bytes()).decode().splitlines()[1:]]
            lines = ["pixel_x\tpixel_y\tx\ty", *("\t".join([x, y, *name.split("x")]) for name, x, y in rows)]
            (target / f"BC{patient}_{section}.spots.txt").write_text("\n".join(lines) + "\n")
            path.unlink()
        else:
            name = path.name.replace("_stdata", "").replace("HE_BT", "BC")
            path.rename(target / name)


def unpacked(folder: Path) -> None:
    for path in folder.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()


def one_folder_per_kind(folder: Path) -> None:
    for kind, pattern in {"count_matrix": "*stdata*", "histology_image": "*.jpg", "spot_coordinates": "spots*"}.items():
        (folder / kind).mkdir()
        for path in folder.glob(pattern):
            path.rename(folder / kind / path.name)


@pytest.mark.parametrize("arrange", [as_st_net_expects, unpacked, one_folder_per_kind])
def test_every_arrangement_is_the_same_data_set(folder: Path, cache_dir: Path, arrange: Callable[[Path], None]) -> None:
    infos, before = opened(folder, cache_dir).slides(), opened(folder, cache_dir).load("BC23287_C2")

    arrange(folder)

    after = opened(folder, cache_dir).load("BC23287_C2")
    assert opened(folder, cache_dir).slides() == infos
    assert after.adata.obs.equals(before.adata.obs)
    np.testing.assert_array_equal(after.adata.X.toarray(), before.adata.X.toarray())
    np.testing.assert_array_equal(after.centers_px, before.centers_px)


def test_the_record_is_downloaded(
    folder: Path, tmp_path: Path, site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(site[0] / "5", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"{TOP}/{path.name}")
    monkeypatch.setattr("stbench.datasets.stnet.ARCHIVE", Archive(site[1].replace("set.tar.gz", "5")))
    stnet = opened(None, tmp_path / "cache")

    assert stnet.locate() is None
    assert stnet.load("BC23450_D2").n_spots == 61
    assert stnet.locate() == tmp_path / "cache" / "data" / "stnet"
    assert stnet.revision == opened(folder, tmp_path / "cache").revision


def test_the_split_of_sepal_and_the_headlines_folds(tmp_path: Path, cache_dir: Path) -> None:
    for patient in (*STNET_TRAIN, *STNET_VALIDATION, *STNET_TEST):
        publish_stnet(tmp_path, patient.removeprefix("BC"), "D2")
    infos = opened(tmp_path, cache_dir).slides()

    (fold,) = SEPAL_2023.folds(infos)
    parts = {name: {part.slide for part in getattr(fold, name)} for name in ("train", "validation", "test")}

    assert parts == {
        "train": {f"{patient}_D2" for patient in STNET_TRAIN},
        "validation": {f"{patient}_D2" for patient in STNET_VALIDATION},
        "test": {f"{patient}_D2" for patient in STNET_TEST},
    }
    assert len(STBENCH_V1.folds(infos)) == 23


def test_listing_the_slides_reads_neither_images_nor_counts(folder: Path, cache_dir: Path) -> None:
    for path in [*folder.glob("*.jpg"), *folder.glob("*_stdata.tsv.gz")]:
        path.write_bytes(b"neither")

    assert len(opened(folder, cache_dir).slides()) == 3


def test_a_section_without_an_image_is_listed(folder: Path, cache_dir: Path) -> None:
    (folder / "HE_BT23287_C1.jpg").unlink()

    first, *others = opened(folder, cache_dir).slides()

    assert (first.has_image, [i.has_image for i in others]) == (False, [True, True])
    assert first.image_missing == f"no image of BC23287_C1 (like HE_BT23287_C1.jpg) in {folder}"
    assert opened(folder, cache_dir).load("BC23287_C1").n_spots == 61


def test_nothing_here_and_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stbench.datasets.stnet.ARCHIVE", Archive("http://127.0.0.1:9/5"))

    with pytest.raises(DataError) as caught:
        opened(None, tmp_path).slides()

    assert str(caught.value) == (
        "stnet is not here and cannot be downloaded from http://127.0.0.1:9/5 (Connection refused); put "
        f"{NEEDED} into a folder and give it as --data-dir, or into {tmp_path}/data/stnet"
    )


def test_a_folder_without_it(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "HE_BT23567_D2.jpg").touch()  # her2st has images that are called so

    with pytest.raises(DataError) as caught:
        opened(tmp_path / "given", tmp_path / "cache").slides()

    assert str(caught.value) == (
        f"stnet: {tmp_path}/given does not hold {NEEDED}; looked there and in stnet/ below it. Put it there, give "
        f"another --data-dir, or put it into {tmp_path}/cache/data/stnet and give none"
    )


@pytest.mark.parametrize(
    ("gone", "kind"),
    [
        ("BC23287_C1_Coords.tsv.gz", "annotation"),
        ("spots_BT23287_C1.csv.gz", "spots"),
        ("BC23287_C1_stdata.tsv.gz", "counts"),
    ],
)
@pytest.mark.parametrize("where", ["data dir", "cache"])
def test_a_table_that_is_missing_is_named(folder: Path, tmp_path: Path, gone: str, kind: str, where: str) -> None:
    (folder / gone).unlink()
    (tmp_path / "cache").mkdir()
    place = folder if where == "data dir" else folder.parent.rename(tmp_path / "cache" / "data") / "stnet"

    with pytest.raises(DataError) as caught:
        opened(folder if where == "data dir" else None, tmp_path / "cache").slides()

    assert str(caught.value) == f"stnet: {place} lacks {kind} of BC23287_C1 (like {gone}); add what is missing"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("BC23287_C1_stdata.tsv.gz", "is truncated or not a table of counts"),
        ("spots_BT23287_C1.csv.gz", "is truncated or not a table"),
        ("BC23287_C1_Coords.tsv.gz", "is truncated or not a table"),
        ("HE_BT23287_C1.jpg", "truncated"),
    ],
)
def test_truncated_files(folder: Path, cache_dir: Path, name: str, sentence: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])

    with pytest.raises(DataError, match=rf"{name}.*{sentence}"):
        opened(folder, cache_dir).load("BC23287_C1")


@pytest.mark.parametrize(
    ("name", "lines", "sentence"),
    [
        ("spots_BT23287_C1.csv.gz", ["spot,a,b", "5x3,1,2"], r"columns pixel_x, .* are needed, .*found: spot, a, b"),
        ("spots_BT23287_C1.csv.gz", [",X,Y", "5y3,1,2"], "'5y3' is not the name of a spot"),
        ("spots_BT23287_C1.csv.gz", [",X,Y", "5x3,1,2", "5x3,1,2"], "spot 5x3 is listed twice"),
        ("BC23287_C1_Coords.tsv.gz", ["x\ty", "1\t2"], "columns xcoord, ycoord and tumor are needed; found: x, y"),
        ("BC23287_C1_Coords.tsv.gz", ["xcoord\tycoord\tlab\ttumor\t", "a\tb\t1\tL\tnon"], "must be numbers"),
        ("BC23287_C1_Coords.tsv.gz", ["xcoord\tycoord\tlab\ttumor\t", "a\t1\t1\tL\tnon"], "no spot is in all three"),
        ("BC23287_C1_stdata.tsv.gz", ["\tENSG1", "5.1x3\t1", "4.9x3\t1"], "spot 5x3 appears twice"),
        ("BC23287_C1_stdata.tsv.gz", ["\tENSG1", "5x3\t0.5"], "values are not counts"),
    ],
)
def test_tables_that_say_something_else(
    folder: Path, cache_dir: Path, name: str, lines: list[str], sentence: str
) -> None:
    write_gzip(folder / name, lines)

    with pytest.raises(DataError, match=rf"{name}.*{sentence}"):
        opened(folder, cache_dir).load("BC23287_C1")


def test_spots_that_lie_outside_of_the_image(folder: Path, cache_dir: Path) -> None:
    path = folder / "HE_BT23287_C1.jpg"
    with Image.open(path) as image:
        image.crop((0, 0, 200, 240)).save(path)

    with pytest.raises(DataError, match=rf"slide BC23287_C1: \d+ of 61 spots lie outside of {path} \(200 × 240 px\)"):
        opened(folder, cache_dir).load("BC23287_C1")


def test_a_section_that_does_not_exist(folder: Path, cache_dir: Path) -> None:
    with pytest.raises(DataError, match="stnet has no section 'BC1_A1' in "):
        opened(folder, cache_dir).load("BC1_A1")
