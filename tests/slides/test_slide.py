"""A slide shows models no expression at test time, shares one cut of its patches, and thinks in µm."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from stbench.errors import DataError
from stbench.slides import Slide, SlideInfo
from stbench.slides.source import ImageSource
from stbench.testing import toy_slides

SECRET = "SECRET-label"
INFO = SlideInfo(id="S", patient="P", dataset="d", image_id="I", grid="square", mpp=2.0, spot_um=55.0)


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    return toy_slides(tmp_path, patients=1, spots=36)[0]


def with_secrets() -> Slide:
    """Something to hide in every slot an AnnData has."""
    n, genes = 6, 3
    secret = np.full((n, genes), 7.25, np.float32)
    spots = pd.Index([f"spot{i}" for i in range(n)])
    obs = pd.DataFrame({"array_row": np.arange(n), "array_col": np.arange(n)}, index=spots)
    obs["region"] = pd.Categorical([SECRET] * n)
    obs["total_counts"] = 7.25
    obs.attrs["note"] = SECRET
    var = pd.DataFrame({"symbol": [SECRET] * genes}, index=pd.Index([f"{SECRET}{i}" for i in range(genes)]))
    adata = AnnData(
        secret,
        obs=obs,
        var=var,
        uns={"spatial": {"note": SECRET}, "region_colors": [SECRET]},
        layers={"measured": secret > 0, "expected": secret},
        obsm={"spatial": np.arange(2.0 * n).reshape(n, 2), "X_pca": secret},
        varm={"PCs": np.full((genes, 2), 7.25)},
        obsp={"distances": csr_matrix(np.full((n, n), 7.25))},
        varp={"correlation": np.full((genes, genes), 7.25)},
    )
    adata.raw = adata.copy()
    return Slide(adata, INFO)


def test_nothing_but_names_centres_and_array_positions_reaches_predict() -> None:
    slide = with_secrets()

    seen = slide.without_expression()

    assert list(seen.adata.obs_names) == list(slide.adata.obs_names)
    assert list(seen.adata.obs.columns) == ["array_row", "array_col"]
    np.testing.assert_array_equal(seen.centers_px, slide.centers_px)
    np.testing.assert_array_equal(seen.array_positions, slide.array_positions)
    assert seen.info == slide.info
    assert seen.adata.shape == (6, 0)
    assert seen.adata.raw is None
    assert list(seen.adata.obsm) == ["spatial"]
    for slot in ("uns", "layers", "varm", "obsp", "varp"):
        assert len(getattr(seen.adata, slot)) == 0, slot
    content = pickle.dumps(seen.adata)
    assert SECRET.encode() not in content
    assert np.float32(7.25).tobytes() * 2 not in content
    assert SECRET.encode() in pickle.dumps(slide.adata)  # the search would find it


def test_metrics_see_the_labels_and_nothing_else_more() -> None:
    slide = with_secrets()
    slide.adata.obs["region"] = ["stroma"] * 6

    seen = slide.without_expression(labels=True)

    assert list(seen.adata.obs.columns) == ["array_row", "array_col", "region"]
    assert list(seen.adata.obs["region"]) == ["stroma"] * 6
    assert seen.adata.shape == (6, 0)
    assert seen.adata.raw is None
    content = pickle.dumps(seen.adata)
    assert SECRET.encode() not in content
    assert np.float32(7.25).tobytes() * 2 not in content
    assert "region" not in seen.without_expression().adata.obs


def test_what_predict_does_to_its_slide_stays_there() -> None:
    slide = with_secrets()
    seen = slide.without_expression()

    seen.adata.obsm["spatial"][:] = -1
    seen.adata.obs["array_row"] = -1

    assert slide.centers_px.min() >= 0
    assert slide.array_positions.min() >= 0


def test_a_slide_without_array_positions_still_hides_the_rest() -> None:
    slide = with_secrets()
    del slide.adata.obs["array_row"]

    assert list(slide.without_expression().adata.obs.columns) == ["array_col"]


def cut_files(slide: Slide) -> list[Path]:
    return sorted((slide.source.cache_dir / "patches").rglob("*.npy"))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_subsets_show_the_same_patches_from_one_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    slide = toy_slides(tmp_path_factory.getbasetemp() / "subsets", patients=1, spots=36)[0]
    whole = slide.patches(pixels=16, microns=64)
    rows = data.draw(st.lists(st.integers(0, 35), unique=True, min_size=1))
    inner = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True, min_size=1))

    part = slide.subset(rows)
    nested = part.subset(inner).without_expression()

    np.testing.assert_array_equal(part.patches(pixels=16, microns=64), whole[rows])
    np.testing.assert_array_equal(nested.patches(pixels=16, microns=64), whole[np.array(rows)[inner]])
    np.testing.assert_array_equal(part.masked_fraction(), slide.masked_fraction()[rows])
    assert list(nested.adata.obs_names) == list(slide.adata.obs_names[np.array(rows)[inner]])
    assert len(cut_files(slide)) == 1


def test_a_subset_by_mask_and_by_rows(slide: Slide) -> None:
    mask = slide.array_positions[:, 0] > 2

    by_mask, by_rows = slide.subset(mask), slide.subset(np.flatnonzero(mask))

    assert by_mask.n_spots == mask.sum()
    assert list(by_mask.adata.obs_names) == list(by_rows.adata.obs_names)
    np.testing.assert_array_equal(by_mask.target, slide.target[mask])
    np.testing.assert_array_equal(by_mask.adata.raw.X, slide.adata.raw.X[mask])
    assert slide.subset(np.ones(36, bool)) is slide
    assert slide.subset(np.zeros(36, bool)).patches(pixels=8, microns=64).shape == (0, 8, 8, 3)


def test_a_subset_keeps_all_that_is_told_of_its_spots_and_genes(slide: Slide) -> None:
    adata = AnnData(csr_matrix(slide.target), obs=slide.adata.obs, var=slide.adata.var, obsm=dict(slide.adata.obsm))
    adata.obsp["near"], adata.varm["loadings"] = csr_matrix(np.eye(slide.n_spots)), np.ones((adata.n_vars, 2))
    adata.layers["twice"], adata.uns["from"] = adata.X * 2, "here"
    rows = [5, 0, 7]

    part = slide.with_adata(adata).subset(rows).adata

    whole = adata[rows].copy()
    assert (part.X != whole.X).nnz == (part.layers["twice"] != whole.layers["twice"]).nnz == 0
    assert (part.obsp["near"] != whole.obsp["near"]).nnz == 0
    pd.testing.assert_frame_equal(part.obs, whole.obs)
    pd.testing.assert_frame_equal(part.var, whole.var)
    np.testing.assert_array_equal(part.obsm["spatial"], whole.obsm["spatial"])
    np.testing.assert_array_equal(part.varm["loadings"], whole.varm["loadings"])
    assert part.uns["from"] == "here"


def test_at_the_spots_themselves_the_patches_are_the_same(slide: Slide) -> None:
    again = slide.at(slide.centers_px)

    np.testing.assert_array_equal(again.patches(pixels=16, microns=64), slide.patches(pixels=16, microns=64))
    assert again.array_positions == pytest.approx(slide.array_positions)
    assert again.adata.n_vars == 0
    assert again.info == replace(slide.info, grid="none")  # points between spots share no array


def test_at_other_points_array_positions_are_fractional(slide: Slide) -> None:
    between = (slide.centers_px[0] + slide.centers_px[1]) / 2

    points = slide.subset([0, 1, 7, 8]).at([between, slide.centers_px[9]], spot_um=8.0)

    assert points.n_spots == 2
    assert points.array_positions[0] == pytest.approx((slide.array_positions[0] + slide.array_positions[1]) / 2)
    assert points.array_positions[1] == pytest.approx(slide.array_positions[9])
    assert points.info == replace(slide.info, spot_um=8.0, grid="none")
    assert points.patches(pixels=16, microns=64).shape == (2, 16, 16, 3)


def test_points_close_together_on_a_large_image_have_names_of_their_own(slide: Slide) -> None:
    x = 123_456.5 + np.arange(20) / 16

    names = slide.at(np.column_stack([x, x])).adata.obs_names

    assert names.is_unique


def rescaled(folder: Path, mpp: float) -> Slide:
    """One tissue, smooth at the scale of a spot, photographed at `mpp`."""
    side = round(800 / mpp)
    um = (np.arange(side) + 0.5) * mpp
    waves = [127 + 90 * np.sin(um[:, None] / (25 + 9 * c)) * np.cos(um / (31 - 7 * c)) for c in range(3)]
    path = folder / f"{mpp}.tif"
    tifffile.imwrite(path, np.stack(waves, -1).astype(np.uint8), photometric="rgb")
    centers = np.array([[200.0, 300.0], [433.0, 512.0], [700.0, 90.0]]) / mpp
    obs = pd.DataFrame({"array_row": [0, 1, 2], "array_col": [0, 1, 2]}, index=["a", "b", "c"])
    adata = AnnData(obs=obs, obsm={"spatial": centers})
    return Slide(adata, replace(INFO, mpp=mpp), ImageSource(path, str(mpp), centers, folder))


def test_patches_in_microns_show_the_same_tissue_at_any_scale(tmp_path: Path) -> None:
    fine, coarse = (rescaled(tmp_path, mpp).patches(pixels=28, microns=112).astype(int) for mpp in (0.5, 1.3))

    assert np.abs(fine - coarse).mean() < 2
    assert np.abs(fine[0] - fine[1]).mean() > 20  # other spots look different


def test_neighbours_by_kind(slide: Slide) -> None:
    grid = slide.neighbours()

    np.testing.assert_array_equal(np.bincount(grid[0]).reshape(6, 6)[1:-1, 1:-1], 8)
    within = slide.neighbours("radius", radius_um=1.5 * 80)  # pitch 40 px at 2 µm
    np.testing.assert_array_equal(np.sort(within, 1), np.sort(grid, 1))
    assert slide.neighbours("knn", k=3).shape == (2, 36 * 3)
    assert slide.neighbours(hops=2).shape[1] > grid.shape[1]
    unordered = Slide(slide.adata, replace(slide.info, grid="none"))
    np.testing.assert_array_equal(unordered.neighbours(k=4), slide.neighbours("knn", k=4))


def test_what_is_missing_is_named() -> None:
    slide = with_secrets()

    with pytest.raises(DataError, match="slide S of d has no image: none was given"):
        slide.patches(pixels=8, microns=8)
    with pytest.raises(DataError, match="has no image: lost in the post"):
        _ = Slide(slide.adata, replace(INFO, image_missing="lost in the post")).image
    with pytest.raises(DataError, match=r"slide S: the image's scale \(µm per pixel\) is unknown; give its mpp"):
        _ = Slide(slide.adata, replace(INFO, mpp=None)).mpp
