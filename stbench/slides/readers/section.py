"""What every reader returns: counts, places and an image, and how much of it the files said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stbench.slides import cache
from stbench.slides.info import Grid, SlideInfo, SpotShape
from stbench.slides.slide import Slide, some_rows
from stbench.slides.source import ImageSource

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Section:
    """One section as its files describe it.

    Attributes
    ----------
    adata
        ``X`` raw counts (spots, genes) CSR int32; ``obs["array_row"|"array_col"]``, and ``in_tissue``, ``region``
        where known; ``obsm["spatial"]`` centres (x, y) in pixels of `image`; ``var_names`` ids, ``var["symbol"]``.
    image
        The image file, or None.
    mpp, mpp_source
        µm per pixel of that image, and where it came from; None where the files do not say.
    spot_um, spot_shape, grid, technology
        As far as the layout fixes them.
    notes
        Sentences for the user: what was left out, what was assumed.
    """

    adata: AnnData
    image: Path | None
    mpp: float | None
    mpp_source: str
    spot_um: float
    spot_shape: SpotShape = "circle"
    grid: Grid = "none"
    technology: str = ""
    notes: tuple[str, ...] = ()

    def slide(self, info: SlideInfo, cache_dir: Path) -> Slide:
        """Make the slide that a dataset's ``load`` returns: spots in tissue, where that is known, and the image."""
        adata = self.adata
        if "in_tissue" in adata.obs:  # nothing uses the others: their patches need not be cut
            inside = np.asarray(adata.obs["in_tissue"], bool)
            adata = adata if inside.all() else some_rows(adata, np.flatnonzero(inside))
        if self.image is None:
            return Slide(adata, info)
        digest = cache.sha256(self.image, cache_dir)
        return Slide(adata, info, ImageSource(self.image, digest, np.asarray(adata.obsm["spatial"]), cache_dir))
