"""visium: both sections from their site or a folder in any of the usual layouts, a sentence for what is wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_sections import VISIUM_MPP, publish_visium, unpack_visium, visium_counts, visium_places
from PIL import Image

from stbench.datasets import DatasetContext
from stbench.datasets.visium import Visium
from stbench.errors import DataError
from stbench.protocols.sepal_2023 import SEPAL_2023, SEPAL_2023_CLEAN
from stbench.protocols.v1 import STBENCH_SECTION_V1

SAMPLES = ["V1_Breast_Cancer_Block_A_Section_1", "V1_Breast_Cancer_Block_A_Section_2"]
NEEDED = " and ".join(
    f"Section_{n}/ with V1_Breast_Cancer_Block_A_Section_{n}_filtered_feature_bc_matrix.h5, spatial/ (unpacked from "
    f"V1_Breast_Cancer_Block_A_Section_{n}_spatial.tar.gz) and V1_Breast_Cancer_Block_A_Section_{n}_image.tif"
    for n in (1, 2)
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the site offers."""
    folder = tmp_path_factory.mktemp("published")
    for seed, sample in enumerate(SAMPLES):
        publish_visium(folder, sample, seed)
    return folder


@pytest.fixture
def online(published: Path, site: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's folder, with both samples in it."""
    shutil.copytree(published, site[0], dirs_exist_ok=True)
    monkeypatch.setattr("stbench.datasets.visium.SITE", site[1].rpartition("/")[0])
    return site[0]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> str:
    site = "http://127.0.0.1:9"
    monkeypatch.setattr("stbench.datasets.visium.SITE", site)
    return site


@pytest.fixture
def data_dir(published: Path, tmp_path: Path) -> Path:
    """Both samples as somebody unpacked them."""
    for n, sample in enumerate(SAMPLES, start=1):
        unpack_visium(published / sample, tmp_path / "given" / "visium" / f"Section_{n}")
    return tmp_path / "given"


def opened(data_dir: Path | None, cache_dir: Path) -> Visium:
    return Visium(DatasetContext(cache_dir, data_dir))


def test_both_sections_come_from_the_site(online: Path, tmp_path: Path) -> None:
    visium = opened(None, tmp_path)

    infos = visium.slides()

    assert [(i.id, i.patient, i.technology, i.grid, i.spot_um, i.has_image) for i in infos] == [
        ("Section_1", "Block_A", "Visium", "hex", 55.0, True),
        ("Section_2", "Block_A", "Visium", "hex", 55.0, True),
    ]
    assert [i.mpp for i in infos] == pytest.approx([VISIUM_MPP] * 2)
    assert visium.locate() == tmp_path / "data" / "visium"
    sources = (tmp_path / "data/visium/Section_2/SOURCE.txt").read_text().splitlines()[::2]
    assert [line.rpartition("/")[2] for line in sources] == [
        f"{SAMPLES[1]}_{name}" for name in ("filtered_feature_bc_matrix.h5", "spatial.tar.gz", "image.tif")
    ]


@pytest.mark.parametrize(("section", "seed"), [("Section_1", 0), ("Section_2", 1)])
def test_counts_and_places_are_those_of_the_files(data_dir: Path, cache_dir: Path, section: str, seed: int) -> None:
    slide = opened(data_dir, cache_dir).load(section)

    places = visium_places().query("in_tissue == 1").set_index("barcode")
    assert slide.adata.X.toarray().tolist() == visium_counts(seed).tolist()
    assert list(slide.adata.obs_names) == list(places.index)
    assert slide.adata.var_names[0] == "ENSG00000000000"
    assert slide.adata.var["symbol"].iloc[0] == "G0"
    np.testing.assert_array_equal(slide.array_positions, places[["array_row", "array_col"]])
    np.testing.assert_allclose(slide.centers_px, places[["pxl_col_in_fullres", "pxl_row_in_fullres"]])
    assert slide.image.size == (260, 280)


def test_a_section_that_failed_is_all_the_next_run_fetches(online: Path, tmp_path: Path) -> None:
    image = online / SAMPLES[1] / f"{SAMPLES[1]}_image.tif"
    kept = image.rename(online / "kept.tif")
    with pytest.raises(DataError, match=r"^visium Section_2 is not here and cannot be downloaded from .*tif \(404"):
        opened(None, tmp_path).slides()
    assert opened(None, tmp_path).locate() is None
    shutil.rmtree(online / SAMPLES[0])
    kept.rename(image)

    assert [info.id for info in opened(None, tmp_path).slides()] == ["Section_1", "Section_2"]


def named_by_sample(folder: Path) -> None:
    for n, sample in enumerate(SAMPLES, start=1):
        (folder / f"Section_{n}").rename(folder / sample)


def without_prefix(folder: Path) -> None:
    for path in [p for n in (1, 2) for p in (folder / f"Section_{n}").glob("V1_*")]:
        path.rename(path.with_name(re.sub(r"^V1_.*_Section_\d_", "", path.name)))


def below_outs(folder: Path) -> None:
    for n in (1, 2):
        (folder / f"Section_{n}").rename(folder / "moved")
        (folder / f"Section_{n}").mkdir()
        (folder / "moved").rename(folder / f"Section_{n}" / "outs")


def image_beside_outs(folder: Path) -> None:
    below_outs(folder)
    for n in (1, 2):
        (image,) = (folder / f"Section_{n}" / "outs").glob("*_image.tif")
        image.rename(folder / f"Section_{n}" / "tissue_image.tif")


def unpacked_into_the_archives_name(folder: Path) -> None:
    for n, sample in enumerate(SAMPLES, start=1):
        (folder / f"Section_{n}" / "spatial").rename(folder / f"Section_{n}" / f"{sample}_spatial")


@pytest.mark.parametrize(
    "arrange", [named_by_sample, without_prefix, below_outs, image_beside_outs, unpacked_into_the_archives_name]
)
def test_every_layout_is_the_same_data_set(data_dir: Path, cache_dir: Path, arrange: Callable[[Path], None]) -> None:
    plain = opened(data_dir, cache_dir)
    revision, infos = plain.revision, plain.slides()

    arrange(data_dir / "visium")

    rearranged = opened(data_dir / "visium", cache_dir)
    assert rearranged.revision == revision
    assert rearranged.slides() == infos
    assert rearranged.load("Section_2").adata.X.toarray().tolist() == visium_counts(1).tolist()


def test_without_the_full_image_the_hires_one_is_taken(data_dir: Path, cache_dir: Path) -> None:
    full = opened(data_dir, cache_dir)
    revision, center = full.revision, full.load("Section_1").centers_px
    (data_dir / "visium" / "Section_1" / f"{SAMPLES[0]}_image.tif").unlink()

    reduced = opened(data_dir, cache_dir)

    info, other = reduced.slides()
    assert (info.mpp, info.px_per_published_px) == pytest.approx((2 * VISIUM_MPP, 0.5))
    assert other.px_per_published_px == 1.0
    assert reduced.load("Section_1").image.size == (130, 140)
    np.testing.assert_allclose(reduced.load("Section_1").centers_px, center / 2)
    assert reduced.revision != revision


def test_a_section_without_any_image_is_listed(data_dir: Path, cache_dir: Path) -> None:
    folder = data_dir / "visium" / "Section_1"
    (folder / f"{SAMPLES[0]}_image.tif").unlink()
    (folder / "spatial" / "tissue_hires_image.png").unlink()

    first, second = opened(data_dir, cache_dir).slides()

    assert (first.has_image, second.has_image) == (False, True)
    assert first.image_missing == f"{folder} has neither {SAMPLES[0]}_image.tif nor tissue_hires_image.png"
    assert opened(data_dir, cache_dir).load("Section_1").n_spots == 110


def test_listing_the_slides_opens_no_image_and_no_counts(data_dir: Path, cache_dir: Path) -> None:
    for path in (data_dir / "visium").glob("*/V1_*"):
        path.write_bytes(b"neither")

    assert [info.has_image for info in opened(data_dir, cache_dir).slides()] == [True, True]


def test_the_published_and_the_default_folds(data_dir: Path, cache_dir: Path) -> None:
    visium = opened(data_dir, cache_dir)
    infos = visium.slides()

    assert visium.default_protocol == STBENCH_SECTION_V1.name
    assert [fold.id for fold in STBENCH_SECTION_V1.folds(infos)] == ["Section_1", "Section_2"]
    for protocol in (SEPAL_2023, SEPAL_2023_CLEAN):
        (fold,) = protocol.folds(infos)
        assert ({p.slide for p in fold.train}, [p.slide for p in fold.test]) == ({"Section_1"}, ["Section_2"])


def test_nothing_here_and_no_connection(tmp_path: Path, offline: str) -> None:
    with pytest.raises(DataError) as caught:
        opened(None, tmp_path).slides()

    assert str(caught.value) == (
        f"visium Section_1 is not here and cannot be downloaded from {offline}/{SAMPLES[0]}/{SAMPLES[0]}_filtered_"
        f"feature_bc_matrix.h5 (Connection refused); put {NEEDED} into a folder and give it as --data-dir, or into "
        f"{tmp_path}/data/visium"
    )


def test_a_folder_without_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "given", tmp_path / "cache").slides()

    assert str(caught.value) == (
        f"visium: {tmp_path}/given does not hold {NEEDED}; looked there and in visium/ below it. Put it there, give "
        f"another --data-dir, or put it into {tmp_path}/cache/data/visium and give none"
    )


def test_files_put_into_the_cache_by_hand_are_found(data_dir: Path, tmp_path: Path, offline: str) -> None:
    shutil.copytree(data_dir, tmp_path / "cache" / "data")

    assert len(opened(None, tmp_path / "cache").slides()) == 2


SECTION_2 = NEEDED.partition(" and Section_2")[2]


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        (["Section_2"], f"lacks Section_2{SECTION_2}; add what is missing"),
        (
            ["Section_1/spatial"],
            f"lacks Section_1/spatial/tissue_positions_list.csv (unpack {SAMPLES[0]}_spatial.tar.gz there); "
            "add what is missing",
        ),
        (
            ["Section_2/V1_Breast_Cancer_Block_A_Section_2_filtered_feature_bc_matrix.h5", "Section_1"],
            f"lacks {NEEDED.partition(' and Section_2')[0]}, Section_2/{SAMPLES[1]}_filtered_feature_bc_matrix.h5; "
            "add what is missing",
        ),
    ],
)
def test_what_is_missing_is_named(data_dir: Path, cache_dir: Path, gone: list[str], sentence: str) -> None:
    for name in gone:
        path = data_dir / "visium" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    with pytest.raises(DataError) as caught:
        opened(data_dir, cache_dir).slides()

    assert str(caught.value) == f"visium: {data_dir}/visium {sentence}"


def test_a_section_put_into_the_cache_by_half_is_not_downloaded_over(data_dir: Path, tmp_path: Path) -> None:
    shutil.move(data_dir, tmp_path / "cache" / "data")
    shutil.rmtree(tmp_path / "cache" / "data" / "visium" / "Section_1" / "spatial")

    with pytest.raises(DataError, match=r"data/visium lacks Section_1/spatial/tissue_positions_list\.csv \(unpack"):
        opened(None, tmp_path / "cache").slides()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (f"{SAMPLES[0]}_filtered_feature_bc_matrix.h5", r"matrix\.h5 is truncated or not a count matrix"),
        ("spatial/tissue_positions_list.csv", r"tissue_positions_list\.csv: a row is incomplete"),
        ("spatial/scalefactors_json.json", r"scalefactors_json\.json is truncated"),
        (f"{SAMPLES[0]}_image.tif", r"_image\.tif"),
    ],
)
def test_truncated_files(data_dir: Path, cache_dir: Path, name: str, sentence: str) -> None:
    path = data_dir / "visium" / "Section_1" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b",") if path.suffix == ".csv" else len(whole) // 2])

    with pytest.raises(DataError, match=sentence):
        opened(data_dir, cache_dir).load("Section_1")


def test_an_image_the_spots_do_not_fit_on(data_dir: Path, cache_dir: Path) -> None:
    path = data_dir / "visium" / "Section_1" / f"{SAMPLES[0]}_image.tif"
    with Image.open(path) as image:
        image.crop((0, 0, 260, 180)).save(path)

    with pytest.raises(DataError, match=rf"slide Section_1: \d+ of 110 spots lie outside of {path} \(260 × 180 px\)"):
        opened(data_dir, cache_dir).load("Section_1")


def test_a_section_that_does_not_exist(data_dir: Path, cache_dir: Path) -> None:
    with pytest.raises(DataError, match="visium has no section 'Section_3'; it has Section_1, Section_2"):
        opened(data_dir, cache_dir).load("Section_3")
