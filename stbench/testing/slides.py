"""Small prepared slides, as a protocol hands them to a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from stbench.models.contract import Context
from stbench.slides import Slide, SlideInfo
from stbench.slides.cache import sha256
from stbench.slides.slide import array_columns
from stbench.slides.source import ImageSource

if TYPE_CHECKING:
    from anndata import AnnData

MPP = 2.0
PITCH_PX = 40.0
SPOT_UM = 55.0
DEPTH = 3000  # counts per spot
N_OFF_PANEL = 20
N_MARKED = 50

Plan = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Log level of each gene's share, and the effect of (haematoxylin, eosin) on it."""

STAINS = np.array([[0.9, 1.0, 0.3], [0.1, 0.9, 0.5]])
"""Absorbance of (haematoxylin, eosin) in (red, green, blue)."""


def context(folder: Path, seed: int = 0, device: str = "cpu") -> Context:
    """Make the context of a run whose work and cache folders lie in `folder`."""
    work_dir = folder / "work"
    work_dir.mkdir(parents=True, exist_ok=True)
    return Context(seed=seed, device=device, work_dir=work_dir, cache_dir=folder / "cache")


def toy_slides(
    folder: Path,
    patients: int = 2,
    sections: int = 1,
    spots: int = 40,
    genes: int = 6,
    seed: int = 0,
    grid: Literal["hex", "square"] = "square",
) -> list[Slide]:
    """Make slides whose expression follows the colour of the image at the spot.

    Parameters
    ----------
    folder
        Receives one TIFF per slide and the cache.
    patients, sections
        ``patients × sections`` slides, named ``P1-S1``, ``P1-S2``, …
    spots, genes
        Per slide; all slides have the same genes.
    seed
        The same arguments give the same slides.

    Returns
    -------
    Slides in log-normalised units with all values measured, counts of panel and other genes in ``raw``,
    and the gene annotations of `stbench-v1`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # effect of (haematoxylin, eosin) on the log share of each gene; genes off the panel follow neither
    rng = np.random.default_rng(seed)
    loadings = rng.normal(0, 1.5, (2, genes))
    # means far enough apart to tell which gene a column is
    levels = rng.permutation(np.linspace(-1.5, 1.5, genes))
    slides = [
        _slide(folder, f"P{patient + 1}", section, spots, (levels, loadings), grid, (seed, patient, section))
        for patient in range(patients)
        for section in range(sections)
    ]
    return _annotated(slides)


def _slide(
    folder: Path,
    patient: str,
    section: int,
    spots: int,
    plan: Plan,
    grid: Literal["hex", "square"],
    seed: tuple[int, int, int],
) -> Slide:
    import tifffile

    rng = np.random.default_rng(seed)
    row, col, centers_px = _array(spots, grid)
    width, height = (centers_px.max(0) + PITCH_PX).astype(int)
    stain = _stain(int(height), int(width), rng)  # (height, width, 2)
    light = 255 * np.exp(-stain @ STAINS) + rng.normal(0, 3, (height, width, 3))
    image = light.clip(0, 255).astype(np.uint8)
    x, y = centers_px.astype(int).T
    info = SlideInfo(
        id=f"{patient}-S{section + 1}",
        patient=patient,
        dataset="toy",
        image_id=f"{patient}-S{section + 1}",
        spot_um=SPOT_UM,
        grid=grid,
        mpp=MPP,
        mpp_source="toy",
    )
    path = folder / f"{info.id}-{'-'.join(map(str, seed))}-{spots}-{grid}.tif"
    tifffile.imwrite(path, image, photometric="rgb")
    cache_dir = folder / "cache"
    source = ImageSource(path, sha256(path, cache_dir), centers_px, cache_dir)
    return Slide(_expression(stain[y, x], row, col, centers_px, plan, rng), info, source)


def _array(
    spots: int, grid: Literal["hex", "square"]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Array row, array column (``hex``: Visium's convention) and centre x, y of a filled square of spots."""
    side = int(np.ceil(np.sqrt(spots)))
    row, nth = np.divmod(np.arange(spots), side)
    if grid == "square":
        return row, nth, PITCH_PX * (1 + np.column_stack([nth, row]))
    col = 2 * nth + row % 2
    return row, col, PITCH_PX * (1 + np.column_stack([col / 2, row * np.sqrt(3) / 2]))


def _stain(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth amounts of haematoxylin and eosin in 0–1, (height, width, 2)."""
    y, x = np.mgrid[:height, :width, :1][:2] / PITCH_PX
    heading, phase = rng.uniform(0, 2 * np.pi, (2, 2))
    wave = np.cos((np.cos(heading) * x + np.sin(heading) * y) * 2 * np.pi / rng.uniform(3, 6, 2) + phase)
    return np.asarray((wave + 1) / 2)


def _expression(
    stain: NDArray[np.float64],
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    centers_px: NDArray[np.float64],
    plan: Plan,
    rng: np.random.Generator,
) -> AnnData:
    import pandas as pd
    from anndata import AnnData

    levels, loadings = plan
    n_genes = len(levels)
    weight = np.exp(np.column_stack([levels + stain @ loadings, np.zeros((len(stain), N_OFF_PANEL))]))
    counts = rng.poisson(DEPTH * weight / weight.sum(1, keepdims=True)).astype(np.float32)
    names = pd.Index([f"ENSG{i:011d}" for i in range(1, counts.shape[1] + 1)])
    var = pd.DataFrame({"symbol": [f"GENE{i}" for i in range(1, counts.shape[1] + 1)]}, index=names)
    spots = pd.Index([f"{r}x{c}" for r, c in zip(row, col, strict=True)], name="spot")
    obs = pd.DataFrame(array_columns(row, col), index=spots)
    target = np.log1p(1e4 * counts[:, :n_genes] / counts.sum(1, keepdims=True))
    adata = AnnData(
        target,
        obs=obs,
        var=var[:n_genes].copy(),
        obsm={"spatial": centers_px},
        layers={"measured": np.ones(target.shape, bool)},
    )
    adata.raw = AnnData(counts, obs=obs, var=var)
    return adata


def _annotated(slides: list[Slide]) -> list[Slide]:
    """Add what a protocol fits: training mean, the most variable and the most expressed genes."""
    target = np.concatenate([slide.target for slide in slides])  # (all spots, genes)
    for slide in slides:
        var = slide.adata.var
        var["train_mean"] = target.mean(0)
        for name, score in (("hvg50", target.var(0)), ("heg50", target.mean(0))):
            var[name] = np.argsort(np.argsort(-score)) < min(N_MARKED, target.shape[1] // 2)
    return slides
