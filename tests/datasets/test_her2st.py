"""her2st in its published layout: the facts of the data, and a sentence for everything that can be wrong with it."""

from __future__ import annotations

import gzip
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import issparse

from stbench.datasets import DatasetContext
from stbench.datasets.her2st import Her2st
from stbench.errors import DataError
from stbench.slides import SlideInfo

WITH_IMAGE = ["A1", "A2", "B4", "C2", "C3", "C4", "C5"]


@pytest.fixture(scope="session")
def her2st(test_data: Path, cache_dir: Path) -> Her2st:
    return Her2st(DatasetContext(cache_dir, test_data))


@pytest.fixture(scope="session")
def infos(her2st: Her2st) -> dict[str, SlideInfo]:
    return {info.id: info for info in her2st.slides()}


def test_36_sections_of_8_patients(infos: dict[str, SlideInfo]) -> None:
    sections = Counter(info.patient for info in infos.values())

    assert sections == {"A": 6, "B": 6, "C": 6, "D": 6, "E": 3, "F": 3, "G": 3, "H": 3}
    assert list(infos) == sorted(infos)
    assert {i.technology for i in infos.values()} == {"ST"}
    assert {(i.spot_um, i.grid, i.organ, i.species) for i in infos.values()} == {(100.0, "square", "breast", "human")}


def test_sections_without_an_image_say_where_it_was_looked_for(infos: dict[str, SlideInfo], test_data: Path) -> None:
    assert [i.id for i in infos.values() if i.has_image] == WITH_IMAGE
    assert infos["A3"].image_missing == f"no image in {test_data}/her2st/ST-imgs/A/A3/"
    assert all(bool(i.image_missing) != i.has_image for i in infos.values())


def test_scale_from_the_array_pitch_and_the_reduction_of_the_image(infos: dict[str, SlideInfo]) -> None:
    assert {s: infos[s].mpp for s in ("A1", "A2")} == pytest.approx({"A1": 3.19, "A2": 3.19}, abs=0.02)
    assert infos["A3"].mpp == pytest.approx(0.92, abs=0.005)  # not reduced: another microscope
    others = [i.mpp for i in infos.values() if i.patient != "A"]
    assert others == pytest.approx([0.688] * 30, abs=0.003)
    assert infos["C2"].mpp_source == "array pitch 200 µm = 291.6 × 289.0 px of the spot file"


@pytest.mark.parametrize(("section", "spots"), [("A1", 346), ("A2", 325), ("C2", 187), ("D5", 306)])
def test_spots_per_section(her2st: Her2st, section: str, spots: int) -> None:
    slide = her2st.load(section)

    assert slide.n_spots == spots
    assert issparse(slide.adata.X)
    assert slide.adata.X.dtype == np.int32
    assert slide.adata.obs_names.is_unique
    assert slide.adata.var_names.is_unique
    assert "symbol" in slide.adata.var


def test_counts_are_those_of_the_table(her2st: Her2st, test_data: Path) -> None:
    with gzip.open(test_data / "her2st" / "ST-cnts" / "C2.tsv.gz", "rt") as table:
        genes = next(table).split("\t")[1:]
        rows = [next(table).split("\t") for _ in range(3)]
    slide = her2st.load("C2")

    for name, *values in rows:
        found = slide.adata[name, [g.strip() for g in genes]].X.toarray().ravel()
        assert found.tolist() == [float(v) for v in values]


@pytest.mark.parametrize("section", ["A1", "A2", "C2"])
def test_spots_lie_in_the_image_at_its_scale(her2st: Her2st, test_data: Path, section: str) -> None:
    slide = her2st.load(section)

    width, height = slide.image.size
    x, y = slide.centers_px.T
    assert ((x >= 0) & (x < width) & (y >= 0) & (y < height)).all()
    assert np.ptp(x) > width / 3
    lines = (test_data / "her2st" / "ST-spotfiles" / f"{section}_selection.tsv").read_text().splitlines()
    header, *rows = [line.split("\t") for line in lines]
    file = [dict(zip(header, row, strict=True)) for row in rows]
    published = {f"{round(float(r['x']))}x{round(float(r['y']))}": float(r["pixel_x"]) for r in file}
    scale = {"A1": 0.287604, "A2": 0.287109, "C2": 1.0}[section]
    assert x == pytest.approx([published[name] * scale for name in slide.adata.obs_names])


def test_array_row_and_column_are_y_and_x(her2st: Her2st) -> None:
    slide = her2st.load("A2")

    named = [f"{int(col)}x{int(row)}" for row, col in slide.array_positions]
    assert named == list(slide.adata.obs_names)
    assert np.corrcoef(slide.array_positions[:, 1], slide.centers_px[:, 0])[0, 1] > 0.99
    assert np.corrcoef(slide.array_positions[:, 0], slide.centers_px[:, 1])[0, 1] > 0.99


def test_the_pathologists_regions(her2st: Her2st) -> None:
    regions = her2st.load("A1").adata.obs["region"]

    assert regions.notna().all()
    assert {"invasive cancer", "connective tissue", "adipose tissue"} <= set(regions)
    assert "region" not in her2st.load("A2").adata.obs


@pytest.fixture
def copied(test_data: Path, tmp_path: Path) -> Path:
    """A2 alone, in a folder that may be changed."""
    names = ["ST-cnts/A2.tsv.gz", "ST-spotfiles/A2_selection.tsv", "ST-imgs/A/A2/A2_HE_image_dark.png", "images.tsv"]
    for name in names:
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(test_data / "her2st" / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


def opened(folder: Path, cache_dir: Path) -> Her2st:
    return Her2st(DatasetContext(cache_dir, folder))


def test_the_revision_follows_every_byte_and_no_path(copied: Path, cache_dir: Path, tmp_path: Path) -> None:
    before = opened(copied, cache_dir).revision
    moved = tmp_path / "elsewhere" / "her2st"
    shutil.copytree(copied, moved)

    assert opened(moved.parent, cache_dir).revision == before
    for file in opened(copied, cache_dir).files():
        path = copied / file.name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert opened(copied, cache_dir).revision != before, file.name
        path.write_bytes(whole)
    assert opened(copied, cache_dir).revision == before


def test_a_reduced_image_without_its_scale_is_noticed(copied: Path, cache_dir: Path) -> None:
    (copied / "images.tsv").unlink()

    with pytest.raises(DataError, match=r"section A2: \d+ of 325 spots lie outside .* state its scale in images\.tsv"):
        opened(copied, cache_dir).load("A2")


def test_a_scale_that_is_no_number_is_noticed(copied: Path, cache_dir: Path) -> None:
    (copied / "images.tsv").write_text("section\tscale\nA2\tsmall\n")

    with pytest.raises(DataError, match=r"images\.tsv: columns section and scale \(a number\) are needed"):
        opened(copied, cache_dir).slides()


def test_a_folder_that_is_not_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        opened(tmp_path, tmp_path / "cache").slides()

    assert str(error.value) == (
        f"her2st: {tmp_path} does not hold the published layout (ST-cnts/, ST-spotfiles/, ST-imgs/); looked there and "
        "in her2st/, her2st/data/, data/ below it. Put it there, give another --data-dir, or put it into "
        f"{tmp_path}/cache/data/her2st and give none"
    )


def test_a_section_that_is_not_there(copied: Path, cache_dir: Path) -> None:
    with pytest.raises(DataError, match="her2st has no section 'Z9' in "):
        opened(copied, cache_dir).load("Z9")
