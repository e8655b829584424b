"""Slides that are unusual but legal, made from ordinary ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stbench.slides import Slide
from stbench.slides.cache import sha256
from stbench.slides.source import ImageSource

SHARE_UNMEASURED = 0.1


def redrawn(slide: Slide, seed: int) -> Slide:
    """Return the same spots and image with another draw of the expression, raw counts included."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(slide.n_spots)
    target = slide.target[order] + rng.gamma(1.0, 0.5, slide.target.shape).astype(np.float32)
    adata = slide.adata.copy()
    adata.X = target.astype(np.float32)
    if slide.adata.raw is not None:
        counts = slide.adata.raw.to_adata()
        counts.X = counts.X[order] + rng.poisson(3.0, counts.shape)
        adata.raw = counts
    return slide.with_adata(adata)


def with_gene_order(slide: Slide, order: NDArray[np.int64]) -> Slide:
    """Return the slide with its panel in another order; the raw counts keep theirs."""
    return slide.with_adata(slide.adata[:, order].copy())


def with_odd_values(slide: Slide) -> Slide:
    """Return the slide with its first gene constant, its first spot all zero, and a tenth of the entries unmeasured."""
    adata = slide.adata.copy()
    target = slide.target.copy()
    target[:, 0] = 0.0
    target[0] = 0.0
    measured = np.random.default_rng(0).uniform(size=target.shape) >= SHARE_UNMEASURED
    target[~measured] = 0.0
    adata.X, adata.layers["measured"] = target, measured
    return slide.with_adata(adata)


def with_isolated_spot(slide: Slide) -> Slide:
    """Return the slide without the neighbours of its middle spot."""
    middle = slide.n_spots // 2
    source, target = slide.neighbours("grid")
    return slide.subset(~np.isin(np.arange(slide.n_spots), target[source == middle]))


def one_spot(slide: Slide) -> Slide:
    """Return the slide with its first spot alone."""
    return slide.subset(np.array([0]))


def at_the_edges(slide: Slide) -> Slide:
    """Return points, without expression, in the corners of the slide's image: half of their patches lies outside."""
    width, height = slide.image.size
    return slide.at([(0.0, 0.0), (width - 1.0, 0.0), (0.0, height - 1.0), (width - 1.0, height - 1.0)])


def rescanned(slide: Slide, folder: Path, factor: int = 2) -> Slide:
    """Return the slide as a scanner with `factor` times as many pixels per µm gives it."""
    import tifffile
    from anndata import AnnData

    size = slide.image.size
    pixels = slide.image.read(0, 0, *size)
    path = folder / f"{slide.info.id}-x{factor}.tif"
    tifffile.imwrite(path, pixels.repeat(factor, 0).repeat(factor, 1), photometric="rgb")
    centers_px = slide.centers_px * factor + (factor - 1) / 2
    cache_dir = folder / "cache"
    info = replace(slide.info, mpp=slide.mpp / factor)
    old = slide.adata
    adata = AnnData(old.X, obs=old.obs, var=old.var, obsm={"spatial": centers_px}, layers=dict(old.layers))
    return Slide(adata, info, ImageSource(path, sha256(path, cache_dir), centers_px, cache_dir))
