"""What every imported section is checked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from stbench.errors import DataError
from stbench.slides.readers.h5ad import read_h5ad_section
from stbench.slides.readers.images import store_embedded
from stbench.slides.readers.plain import read_plain
from stbench.slides.readers.section import Section
from stbench.slides.readers.validate import validate


def image_of(folder: Path, width: int = 400, height: int = 300) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return store_embedded(noise, folder)


def section(folder: Path, scale: float = 1.0, values: np.ndarray | None = None) -> Section:
    """48 spots, 40 px apart, on an image of 400 × 300 px."""
    row, col = np.divmod(np.arange(48), 8)
    obs = pd.DataFrame({"array_row": row, "array_col": col}, index=[f"s{i}" for i in range(48)])
    centers = np.column_stack([40 + 40.0 * col, 40 + 40.0 * row]) * scale
    matrix = csr_matrix(np.ones((48, 3), np.int32) if values is None else values)
    adata = AnnData(matrix, obs=obs, var=pd.DataFrame(index=list("abc")), obsm={"spatial": centers})
    return Section(adata, image_of(folder), 2.5, "by hand", 100.0, grid="square")


def test_a_good_section_has_nothing_to_say(tmp_path: Path) -> None:
    assert validate(section(tmp_path), "A1", tmp_path) == []


def test_a_section_without_image_and_one_of_unknown_scale(tmp_path: Path) -> None:
    good = section(tmp_path)

    assert validate(replace(good, image=None), "A1", tmp_path) == []
    assert validate(replace(good, mpp=None), "A1", tmp_path) == ["µm per pixel of the image are unknown; give its mpp"]


def test_a_scale_that_the_image_file_contradicts_is_noted(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "scan.tif"
    pixels = np.full((300, 400, 3), 200, np.uint8)
    per_cm = 10_000 / 0.5  # 0.5 µm/px
    tifffile.imwrite(path, pixels, photometric="rgb", resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    good = replace(section(tmp_path), image=path)

    assert validate(good, "A1", tmp_path) == ["the image file says 0.5 µm/px, by hand says 2.5"]
    assert validate(replace(good, mpp=0.51), "A1", tmp_path) == []
    assert validate(replace(good, mpp=None), "A1", tmp_path)[0].endswith("the image file itself says 0.5")


def test_spots_of_few_pixels_and_spots_without_counts_are_noted(tmp_path: Path) -> None:
    values = np.ones((48, 3), np.int32)
    values[:2] = 0

    notes = validate(replace(section(tmp_path, values=values), mpp=25.0), "A1", tmp_path)

    assert notes[0] == "2 of 48 spots have no counts at all"
    assert notes[1].startswith("a spot is 4.0 px across")


@pytest.mark.parametrize(
    ("value", "reason"),
    [(-2, r"a value is negative \(-2\)"), (0.25, r"a value is fractional \(0\.25\)"), (np.nan, "a value is missing")],
)
def test_values_that_are_not_counts(tmp_path: Path, value: float, reason: str) -> None:
    values = np.ones((48, 3))
    values[5, 1] = value

    with pytest.raises(DataError, match=rf"slide A1: {reason}.*; give raw counts"):
        validate(section(tmp_path, values=values), "A1", tmp_path)


@pytest.mark.filterwarnings("ignore:.*names are not unique")
@pytest.mark.parametrize(("axis", "what"), [("obs_names", "spot s0"), ("var_names", "gene a")])
def test_ids_given_twice(tmp_path: Path, axis: str, what: str) -> None:
    wrong = section(tmp_path)
    names = list(getattr(wrong.adata, axis))
    setattr(wrong.adata, axis, [names[0], *names[:-1]])

    with pytest.raises(DataError, match=f"slide A1: {what} appears twice"):
        validate(wrong, "A1", tmp_path)


def test_no_spots_and_no_genes(tmp_path: Path) -> None:
    good = section(tmp_path)

    with pytest.raises(DataError, match="slide A1 has no spots"):
        validate(replace(good, adata=good.adata[:0].copy()), "A1", tmp_path)
    with pytest.raises(DataError, match="slide A1 has no genes"):
        validate(replace(good, adata=good.adata[:, :0].copy()), "A1", tmp_path)


def test_missing_coordinates(tmp_path: Path) -> None:
    wrong = section(tmp_path)
    wrong.adata.obsm["spatial"][[3, 4], 1] = np.nan

    with pytest.raises(DataError, match="slide A1: 2 of 48 spots have no coordinates"):
        validate(wrong, "A1", tmp_path)


def test_spots_outside_of_the_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"13 of 48 spots lie outside of .*\.png \(400 × 300 px\); give the image"):
        validate(section(tmp_path, scale=1.25), "A1", tmp_path)


def test_spots_that_are_not_in_tissue_may_lie_outside(tmp_path: Path) -> None:
    cropped = section(tmp_path, scale=1.25)
    cropped.adata.obs["in_tissue"] = (cropped.adata.obsm["spatial"] < [400, 300]).all(axis=1)

    assert validate(cropped, "A1", tmp_path) == ["13 spots that are not in tissue lie outside of the image"]


@pytest.mark.parametrize("scale", [10.0, 0.1])
def test_image_and_coordinates_at_different_scales(tmp_path: Path, scale: float) -> None:
    with pytest.raises(DataError, match=r"slide A1: spots reach .* px, .* is 400 × 300 px: .*at different scales"):
        validate(section(tmp_path, scale=scale), "A1", tmp_path)


def test_a_small_biopsy_in_a_corner_is_not_another_scale(tmp_path: Path) -> None:
    biopsy = section(tmp_path)
    biopsy = replace(biopsy, image=image_of(tmp_path, 2000, 1500))

    assert validate(biopsy, "A1", tmp_path) == []


def test_a_truncated_image(tmp_path: Path) -> None:
    good = section(tmp_path)
    assert good.image is not None
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.image.read_bytes()[:5000])

    with pytest.raises(DataError, match=r"cut\.png is truncated or not an image"):
        validate(replace(good, image=cut), "A1", tmp_path)


def test_real_sections(test_data: Path, cache_dir: Path) -> None:
    rep11, mob1 = test_data / "mob/Rep11", test_data / "mob_2k/MOB1"
    bulb = read_plain(rep11 / "counts.tsv.gz", rep11 / "spots.csv", rep11 / "HE.jpg")
    dense = read_plain(mob1 / "counts.tsv.gz", mob1 / "alignment_table.tsv", mob1 / "HE.jpg")
    cortex = read_h5ad_section(test_data / "dlpfc/151510.h5ad", cache_dir=cache_dir)

    assert validate(bulb, "Rep11", cache_dir) == []
    assert validate(dense, "MOB1", cache_dir) == ["µm per pixel of the image are unknown; give its mpp"]
    assert validate(cortex, "151510", cache_dir)[0].startswith("a spot is 3.4 px across: the image is too small")


def test_the_xenium_crop_has_x_and_y_exchanged(test_data: Path, cache_dir: Path) -> None:
    """Its x_pixel are rows of the image: 16 cells lie below it, and all inside once exchanged."""
    crop = read_h5ad_section(test_data / "xenium_crop/NCBI858.h5ad")

    with pytest.raises(DataError, match=r"16 of 200 spots lie outside .*; all would lie inside with x and y exchanged"):
        validate(crop, "NCBI858", cache_dir)

    crop.adata.obsm["spatial"] = crop.adata.obsm["spatial"][:, ::-1].copy()
    assert validate(crop, "NCBI858", cache_dir) == ["µm per pixel of the image are unknown; give its mpp"]
