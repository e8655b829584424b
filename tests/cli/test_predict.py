"""`stbench predict` on images without expression: what it writes, and what it says of bad input."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from anndata import AnnData, read_h5ad
from scipy.spatial import cKDTree

MPP = 1.0  # of `simulated`


@dataclass(frozen=True)
class Kept:
    """A store in which a model was kept, and an image."""

    store: Path
    run: str
    image: Path


@pytest.fixture(scope="module")
def toy(stbench: Any, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A model that makes dense maps."""
    store = tmp_path_factory.mktemp("dense") / "store"
    options = ("-d", "toy", "--folds", "P1", "--keep", "model,predictions")
    done = stbench("run", "-m", "toy-scaled", *options, store=store)
    assert done.returncode == 0, done.stderr
    (row,) = stbench.query("SELECT run_id FROM cells", store)
    (image,) = cache_dir.glob("toy/P1-S1-*.tif")
    return Kept(store, row["run_id"], image)


@pytest.fixture(scope="module")
def kept(stbench: Any, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    store = tmp_path_factory.mktemp("kept") / "store"
    done = stbench(
        "run",
        "-m",
        "ridge",
        "--preset",
        "smoke",
        "-d",
        "simulated",
        "--folds",
        "P1",
        "--keep",
        "model,predictions",
        store=store,
    )
    assert done.returncode == 0, done.stderr
    (row,) = stbench.query("SELECT run_id FROM cells", store)
    (image,) = cache_dir.glob("simulated/*/P2-S1.tif")
    return Kept(store, row["run_id"], image)


def predicted(stbench: Any, kept: Kept, out: Path, *options: str) -> AnnData:
    done = stbench("predict", kept.run, "--image", str(kept.image), *options, "-o", str(out), store=kept.store)
    assert done.returncode == 0, done.stderr
    return read_h5ad(out)


def refused(stbench: Any, kept: Kept, *options: str, run: str = "") -> str:
    done = stbench("predict", run or kept.run, *options, store=kept.store)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    said: str = done.stderr
    return said


@pytest.fixture(scope="module")
def whole(stbench: Any, kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> AnnData:
    return predicted(stbench, kept, tmp_path_factory.mktemp("whole") / "new.h5ad", "--mpp", "1")


def nearest_um(adata: AnnData) -> np.ndarray:
    um = adata.obs[["x_um", "y_um"]].to_numpy()
    return np.asarray(cKDTree(um).query(um, k=2)[0][:, 1])


def test_spots_are_those_of_the_runs_slides(whole: AnnData) -> None:
    np.testing.assert_allclose(np.median(nearest_um(whole)), 75)
    rows, columns = whole.obs["array_row"], whole.obs["array_col"]
    assert ((rows + columns) % 2 == 0).all()  # Visium's convention
    assert whole.X.dtype == np.float32
    assert np.isfinite(whole.X).all()
    assert whole.X.std(0).max() > 0
    assert whole.uns["spatial"]["P2-S1"]["scalefactors"]["spot_diameter_fullres"] == 55


def test_where_it_comes_from(whole: AnnData, kept: Kept) -> None:
    said = whole.uns["stbench"]

    assert (said["run"], said["model"], said["dataset"]) == (kept.run, "ridge", "simulated")
    assert (said["mpp"], said["mpp_source"], said["tissue_mask"]) == (1.0, "--mpp", True)
    assert len(said["image_sha256"]) == 64


def test_the_mask_leaves_glass_out(whole: AnnData, in_process: Any, kept: Kept, tmp_path: Path) -> None:
    everywhere = predicted(in_process, kept, tmp_path / "all.h5ad", "--mpp", "1", "--no-tissue-mask")

    assert set(whole.obs_names) < set(everywhere.obs_names)
    width = tifffile.imread(kept.image).shape[1]
    assert everywhere.n_obs > 0.95 * (width / 75) ** 2 / (np.sqrt(3) / 2)
    np.testing.assert_allclose(everywhere[whole.obs_names].X, whole.X, atol=1e-4)


def test_another_scale_of_the_image_is_the_same_tissue(
    whole: AnnData, in_process: Any, kept: Kept, tmp_path: Path
) -> None:
    fine = tifffile.imread(kept.image).repeat(2, 0).repeat(2, 1)
    image = tmp_path / "fine.ome.tif"
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(image, fine, photometric="rgb", tile=(256, 256), metadata={"axes": "YXS", **sizes})

    twice = predicted(in_process, Kept(kept.store, kept.run, image), tmp_path / "fine.h5ad")

    assert (twice.uns["stbench"]["mpp"], twice.uns["stbench"]["mpp_source"]) == (0.5, "image file")
    np.testing.assert_allclose(np.median(nearest_um(twice)), 75)
    common = whole.obs_names.intersection(twice.obs_names)
    assert len(common) > 0.95 * whole.n_obs
    np.testing.assert_allclose(twice[common].obs["x_um"], whole[common].obs["x_um"])
    r = np.corrcoef(twice[common].X.mean(1), whole[common].X.mean(1))[0, 1]
    assert r > 0.9


def test_points_of_a_tested_slide_get_what_the_run_predicted(in_process: Any, kept: Kept, tmp_path: Path) -> None:
    (run,) = kept.store.glob(f"runs/*/*/ridge/*{kept.run}")
    stored = stored_predictions(kept, run)
    table = tmp_path / "points.csv"
    stored.obs[["x", "y"]].to_csv(table)
    image = kept.image.with_name(f"{stored.uns['slide']}.tif")
    asked = Kept(kept.store, kept.run, image)

    again = predicted(in_process, asked, tmp_path / "points.h5ad", "--mpp", "1", "--points", str(table))

    np.testing.assert_allclose(again.obsm["spatial"], stored.obs[["x", "y"]])
    np.testing.assert_allclose(again[:, stored.var_names].X, stored.X, atol=1e-4)


def stored_predictions(kept: Kept, run: Path) -> AnnData:
    from stbench.execution.stored import stored_prediction, stored_slide
    from stbench.store import Layout, Store

    record = Store(kept.store).records[run]
    slide = stored_slide(Layout(kept.store), record, record.test[0])
    prediction = stored_prediction(run, record.test[0], slide)
    adata = AnnData(prediction.mean, var=slide.adata.var[[]].copy())
    adata.obs[["x", "y"]] = slide.centers_px
    adata.uns["slide"] = record.test[0].slide
    return adata


def test_genes_and_sizes_that_are_asked_for(whole: AnnData, in_process: Any, kept: Kept, tmp_path: Path) -> None:
    names = [whole.var_names[7], whole.var_names[2]]
    sizes = ("--pitch-um", "120", "--spot-um", "100", "--genes", ",".join(names))

    adata = predicted(in_process, kept, tmp_path / "some.h5ad", "--mpp", "1", *sizes)

    assert list(adata.var_names) == names
    np.testing.assert_allclose(np.median(nearest_um(adata)), 120)
    assert adata.uns["spatial"]["P2-S1"]["scalefactors"]["spot_diameter_fullres"] == 100


def test_scanpy_plots_it(whole: AnnData) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import scanpy as sc

    with pytest.warns(FutureWarning, match="squidpy"):
        (axes,) = sc.pl.spatial(whole, color=whole.var_names[0], show=False)

    (picture,) = [image.get_array() for image in axes.images]
    assert picture.shape == whole.uns["spatial"]["P2-S1"]["images"]["hires"].shape
    assert len(axes.collections[0].get_paths()) == whole.n_obs


def test_a_file_that_is_there_is_left_alone(in_process: Any, kept: Kept, tmp_path: Path) -> None:
    out = tmp_path / "mine.h5ad"
    out.write_text("mine")

    said = refused(in_process, kept, "--image", str(kept.image), "--mpp", "1", "-o", str(out))

    assert "mine.h5ad is there already; give another name or remove it" in said
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["map.ome.tif", "map.zarr"])
def test_a_dense_map_of_some_genes(name: str, in_process: Any, toy: Kept, tmp_path: Path) -> None:
    out = tmp_path / name
    (run,) = toy.store.glob(f"runs/*/*/toy-scaled/*{toy.run}")
    stored = stored_predictions(toy, run)
    genes = list(stored.var_names[[4, 1]])
    options = ("--image", str(toy.image), "--mpp", "2", "--dense", "--genes", ",".join(genes), "-o", str(out))

    done = in_process("predict", toy.run, *options, store=toy.store)

    assert done.returncode == 0, done.stderr
    assert "squares of 8 pixels" in done.stderr  # the model's own report
    assert f"pixels of 16 µm × 2 genes by toy-scaled in {out}" in done.stdout
    read = tifffile.imread(out) if name.endswith("tif") else np.asarray(zarr.open_group(out, mode="r")["0"])
    column, row = (stored.obs[["x", "y"]].to_numpy() // 8).astype(int).T
    for channel, gene in enumerate(genes):
        there = read[channel, row, column]
        assert np.corrcoef(there, stored[:, gene].X[:, 0])[0, 1] > 0.5


def test_bad_requests_of_dense_maps(in_process: Any, kept: Kept, toy: Kept, tmp_path: Path) -> None:
    (tmp_path / "there.zarr").mkdir()
    cases: list[tuple[Kept, tuple[str, ...], str]] = [
        (kept, ("-o", str(tmp_path / "map.zarr")), "ridge makes no dense maps; leave out --dense"),
        (toy, ("-o", str(tmp_path / "map.h5ad")), "is written as .ome.tif or .zarr"),
        (toy, ("-o", str(tmp_path / "there.zarr")), "exists; remove it or give another name"),
        (toy, ("--pitch-um", "5"), "leave out --pitch-um, --spot-um and --points"),
    ]
    for of, options, sentence in cases:
        said = refused(in_process, of, "--image", str(of.image), "--mpp", "2", "--dense", *options)
        assert sentence in said, options
        assert len(said.strip().splitlines()) == 1, said
    assert [path.name for path in tmp_path.iterdir()] == ["there.zarr"]


def test_a_model_that_fails_is_one_sentence(in_process: Any, toy: Kept, tmp_path: Path) -> None:
    broken = altered(toy, tmp_path, lambda weights: np.save(weights, np.load(weights).T))
    options = ("--image", str(toy.image), "--mpp", "2", "-o", str(tmp_path / "out.h5ad"))

    said = refused(in_process, broken, *options)

    assert f"toy-scaled failed on {toy.image}: ValueError: " in said
    assert "tell the plugin's authors" in said
    assert not (tmp_path / "out.h5ad").exists()


def test_a_model_that_is_damaged_is_one_sentence(in_process: Any, toy: Kept, tmp_path: Path) -> None:
    broken = altered(toy, tmp_path, lambda weights: weights.write_bytes(bytes(weights.stat().st_size)))

    said = refused(in_process, broken, "--image", str(toy.image), "--mpp", "2", "-o", str(tmp_path / "out.h5ad"))

    assert "cannot be loaded" in said
    assert "run the cell again with --fresh" in said


def altered(kept: Kept, folder: Path, change: Callable[[Path], object]) -> Kept:
    """A copy of a store, with the kept weights changed; their size stays."""
    store = folder / "store"
    shutil.copytree(kept.store, store)
    (run,) = store.glob(f"runs/*/*/*/*{kept.run}")
    change(run / "model" / "weights.npy")
    return replace(kept, store=store)


def test_json(stbench: Any, kept: Kept, tmp_path: Path) -> None:
    options = ("--image", str(kept.image), "--mpp", "1", "-o", str(tmp_path / "j.h5ad"))

    said = stbench.json("predict", kept.run, *options, store=kept.store)

    adata = read_h5ad(said["file"])
    assert adata.shape == (said["spots"], said["genes"])


def test_bad_input_is_one_sentence(whole: AnnData, in_process: Any, kept: Kept, tmp_path: Path) -> None:
    image = ("--image", str(kept.image))
    scaled = (*image, "--mpp", "1")
    glass = tmp_path / "glass.tif"
    tifffile.imwrite(glass, np.full((400, 400, 3), 243, np.uint8), photometric="rgb")
    (tmp_path / "no.tif").write_bytes(b"no image")
    (tmp_path / "outside.csv").write_text("x,y\n10,10\n99999,3\n")
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    gene = whole.var_names[0]
    cases: list[tuple[tuple[str, ...], str]] = [
        (image, "does not say its scale (µm per pixel); give it with --mpp"),
        (("--image", str(tmp_path / "absent.tif")), "correct --image"),
        (("--image", str(tmp_path / "no.tif"), "--mpp", "1"), "is truncated or not an image"),
        (("--image", str(glass), "--mpp", "1"), "no tissue found on"),
        (("--image", str(glass), "--mpp", "0.01", "--no-tissue-mask"), "is smaller than the distance of two spots"),
        ((*scaled, "--points", str(tmp_path / "outside.csv")), "1 of 2 points lie outside"),
        ((*scaled, "--points", str(tmp_path / "columns.csv")), "is no CSV with columns x and y"),
        ((*scaled, "--points", str(tmp_path / "absent.csv")), "correct --points"),
        ((*scaled, "--genes", gene.lower() + "x"), f"did you mean {gene}"),
        ((*image, "--mpp", "-1"), "--mpp -1 is no length"),
        ((*scaled, "--pitch-um", "-5"), "--pitch-um -5 is no length"),
        ((*scaled, "-o", str(tmp_path / "o.csv")), "does not end in .h5ad"),
        ((*scaled, "--device", "tpu"), "--device 'tpu' is none of"),
    ]
    for options, sentence in cases:
        out = () if "-o" in options else ("-o", str(tmp_path / "out.h5ad"))
        said = refused(in_process, kept, *options, *out)
        assert sentence in said, options
        assert len(said.strip().splitlines()) == 1, said
    assert not (tmp_path / "out.h5ad").exists()


def test_a_run_that_kept_no_model(in_process: Any, kept: Kept, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(kept.store, store)
    (run,) = store.glob(f"runs/*/*/ridge/*{kept.run}")
    shutil.rmtree(run / "model")
    record = json.loads((run / "run.json").read_text())
    record["files"] = {name: size for name, size in record["files"].items() if not name.startswith("model/")}
    (run / "run.json").write_text(json.dumps(record))
    options = ("--image", str(kept.image), "--mpp", "1", "-o", str(tmp_path / "out.h5ad"))

    said = refused(in_process, Kept(store, kept.run, kept.image), *options)

    assert "kept no model; run the cell again with --keep model --fresh" in said


@pytest.mark.slow
def test_a_million_points_take_bounded_memory(stbench: Any, kept: Kept, tmp_path: Path) -> None:
    done = stbench("run", "-m", "mean", "-d", "simulated", "--folds", "P1", "--keep", "model", store=kept.store)
    assert done.returncode == 0, done.stderr
    (mean,) = stbench.query("SELECT run_id FROM cells WHERE model = 'mean'", kept.store)
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.uniform(0, 1000, (1_000_000, 2)), columns=["x", "y"]).to_csv(tmp_path / "points.csv", index=False)
    out = tmp_path / "million.h5ad"
    options = ("--image", str(kept.image), "--mpp", "1", "--points", str(tmp_path / "points.csv"), "-o", str(out))
    command = stbench.command(("predict", mean["run_id"], *options), kept.store)

    process = subprocess.Popen(command, cwd=stbench.folder, env=stbench.env, stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)

    assert process.returncode == 0
    adata = read_h5ad(out, backed="r")
    peak_mb = usage.ru_maxrss / 2**10
    print(f"1,000,000 points × {adata.n_vars} genes: {out.stat().st_size / 2**20:.0f} MB, peak {peak_mb:.0f} MB")
    assert adata.n_obs == 1_000_000
    assert np.ptp(adata.X[999_990:], axis=0).max() == 0
    assert peak_mb < 1500
