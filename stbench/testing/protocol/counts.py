"""Slides as datasets load them: raw counts of all measured genes, shallow spots included."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.slides import Slide
from stbench.slides.slide import LABELS
from stbench.testing.slides import toy_slides

SPOTS = 144
"""12 × 12: a fifth, a ring of spots around it, and something beside."""
GENES = 8


def layouts(folder: Path) -> dict[str, list[Slide]]:
    """Small datasets that differ in patients, sections and arrays; a section of each of four patients is annotated."""
    patients = raw_slides(folder / "patients", patients=4, sections=2)
    return {
        "4 patients with 2 sections each": [_annotated(s) if s.info.id.endswith("S1") else s for s in patients],
        "1 patient with 3 hexagonal sections": raw_slides(folder / "sections", patients=1, sections=3, grid="hex"),
        "a single slide": raw_slides(folder / "single", patients=1, sections=1),
    }


def raw_slides(folder: Path, **options: Any) -> list[Slide]:
    """Return `toy_slides` with their raw counts in ``X``, sparse; the first spot of each has fewer than 100."""
    return [_raw(slide) for slide in toy_slides(folder, **{"spots": SPOTS, "genes": GENES, **options})]


def _annotated(slide: Slide) -> Slide:
    """Return the slide with its upper and its lower half as regions."""
    adata = slide.adata.copy()
    row = slide.array_positions[:, 0]
    adata.obs[LABELS] = np.where(row < np.median(row), "upper", "lower")
    return Slide(adata, replace(slide.info, has_regions=True), slide.source, slide.rows)


def _raw(slide: Slide) -> Slide:
    counts = np.asarray(slide.adata.raw.X).copy()  # (spots, panel and other genes)
    counts[0] = counts[0] > 0
    return _with_counts(slide, slide.adata.raw.to_adata(), counts)


def copied(slide: Slide) -> Slide:
    """Return the slide with an AnnData of its own: what a step changes in it, no other check finds."""
    return slide.with_adata(slide.adata.copy())


def another_draw(slide: Slide, seed: int) -> Slide:
    """Return the same spots and image with another draw of the counts."""
    rng = np.random.default_rng(seed)
    counts = slide.adata.X.toarray()[rng.permutation(slide.n_spots)]
    return _with_counts(slide, slide.adata, counts + rng.poisson(3.0, counts.shape))


def without_gene(slide: Slide, gene: str) -> Slide:
    """Return the slide as if one gene had not been on its panel of measured genes."""
    return slide.with_adata(slide.adata[:, slide.adata.var_names != gene].copy())


def without_image(slide: Slide) -> Slide:
    """Return the slide as a dataset lists it whose image is not here."""
    return Slide(slide.adata, replace(slide.info, has_image=False, image_missing="left out by the check"), None)


def _with_counts(slide: Slide, like: Any, counts: NDArray[np.generic]) -> Slide:
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    adata = AnnData(
        csr_matrix(counts.astype(np.int32)),
        obs=slide.adata.obs.copy(),
        var=like.var.copy(),
        obsm={"spatial": slide.centers_px.copy()},
    )
    return slide.with_adata(adata)
