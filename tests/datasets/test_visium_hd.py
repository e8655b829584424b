"""Visium HD as published: sections in folders of their own, downloaded or given, each bin size a slide of one image."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
from made_hd import make_run

from stbench.datasets import DatasetContext
from stbench.datasets.visium_hd import VisiumHDBrain, VisiumHDBreast
from stbench.errors import DataError
from stbench.protocols.folds import leave_one_section_out

SAMPLE = "Visium_HD_Human_Breast_Cancer_Fresh_Frozen"


def published(site: Path) -> None:
    """Put the archive and the image where the site has them."""
    outs = make_run(site / "made/outs", (8, 16))
    place = site / "3.1.1" / SAMPLE
    place.mkdir(parents=True)
    with tarfile.open(place / f"{SAMPLE}_binned_outputs.tar.gz", "w:gz") as archive:
        archive.add(outs / "binned_outputs", "binned_outputs")
    shutil.move(site / "made/tissue_image.btf", place / f"{SAMPLE}_tissue_image.tif")


def test_it_is_downloaded(site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(site[0])
    monkeypatch.setattr("stbench.datasets.visium_hd.SITE", site[1].rpartition("/")[0])

    dataset = VisiumHDBreast(DatasetContext(tmp_path / "cache"))

    assert [s.id for s in dataset.slides()] == [f"{SAMPLE}-008um", f"{SAMPLE}-016um"]
    slide = dataset.load(f"{SAMPLE}-008um")
    assert (slide.info.spot_um, slide.info.spot_shape, slide.info.technology) == (8.0, "square", "Visium HD")
    assert slide.image.size == (192, 192)
    assert slide.patches(pixels=8, microns=8.0).shape == (slide.n_spots, 8, 8, 3)
    assert {file.name for file in dataset.files()} >= {
        f"{SAMPLE}/{SAMPLE}_tissue_image.tif",
        f"{SAMPLE}/square_008um/filtered_feature_bc_matrix.h5",
        f"{SAMPLE}/square_016um/spatial/tissue_positions.parquet",
    }


def test_sections_of_a_folder_share_their_image_not_their_patient(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make_run(tmp_path / "given/visium-hd-brain" / name / "outs", (8, 16))

    dataset = VisiumHDBrain(DatasetContext(tmp_path / "cache", tmp_path / "given"))

    slides = dataset.slides()
    assert [(s.id, s.image_id) for s in slides] == [
        (f"{name}-{um}um", name) for name in ("first", "second") for um in ("008", "016")
    ]
    assert {s.species for s in slides} == {"mouse"}
    assert len({s.patient for s in slides}) == 1
    assert [fold.id for fold in leave_one_section_out(slides)] == ["first", "second"]


def test_without_network_the_error_says_what_goes_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stbench.datasets.visium_hd.SITE", "http://127.0.0.1:9")

    with pytest.raises(DataError, match=f"put {SAMPLE}/ with binned_outputs/") as caught:
        VisiumHDBreast(DatasetContext(tmp_path / "cache")).slides()
    assert "\n" not in str(caught.value)


def test_a_folder_without_bins_is_refused(tmp_path: Path) -> None:
    (tmp_path / "given/outs/spatial").mkdir(parents=True)

    with pytest.raises(DataError, match=r"visium-hd-brain: .* does not hold"):
        VisiumHDBrain(DatasetContext(tmp_path / "cache", tmp_path / "given")).slides()
