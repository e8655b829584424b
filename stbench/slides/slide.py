"""One tissue section: an AnnData with everything per spot, its `SlideInfo`, and a lazy image."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stbench.errors import DataError
from stbench.slides import neighbours
from stbench.slides.info import SlideInfo
from stbench.slides.source import ImageSource

if TYPE_CHECKING:
    from anndata import AnnData

    from stbench.slides.image import SlideImage

ALLOWED_OBS = ("array_row", "array_col")
"""Per-spot columns a model may see of a test slide, beside the spot's name and centre."""
LARGE = 50_000
"""Spots from which nothing is held that has a value for each spot and gene: targets stay sparse, predictions come in
blocks, and both are scored and stored a few genes at a time."""
LABELS = "region"
"""Per-spot column that metrics compare clusters with."""


class Slide:
    """A section's spots, image and (for training) expression.

    Parameters
    ----------
    adata
        ``X`` (spots, genes); ``obsm["spatial"]`` pixel centres (x, y); ``obs["array_row"|"array_col"]``, and
        ``obs["region"]`` where known; ``layers["measured"]`` bool once a protocol has prepared the slide, or
        ``var["measured"]`` where it is the same for all spots of a large slide.
    info
        Metadata.
    source
        Where patches come from: the image and the centres of all spots that were loaded, so that subsets share
        one cached cut.
    rows
        Rows of `source` that this slide's spots are; None for all, in order.
    """

    def __init__(
        self,
        adata: AnnData,
        info: SlideInfo,
        source: ImageSource | None = None,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.adata = adata
        self.info = info
        self.source = source
        self.rows = rows

    def __repr__(self) -> str:
        return f"Slide({self.info.dataset}/{self.info.id}: {self.n_spots} spots × {self.adata.n_vars} genes)"

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        return int(self.adata.n_obs)

    @property
    def centers_px(self) -> NDArray[np.float64]:
        """Spot centres (x, y) in pixels of the image, (spots, 2)."""
        return np.asarray(self.adata.obsm["spatial"], np.float64)

    @property
    def array_positions(self) -> NDArray[np.float64]:
        """Array coordinates (row, column), (spots, 2)."""
        return np.asarray(self.adata.obs[list(ALLOWED_OBS)], np.float64)

    @property
    def is_large(self) -> bool:
        """Whether it has so many spots (`LARGE`) that it is handled in parts."""
        return self.n_spots >= LARGE

    @property
    def target(self) -> NDArray[np.float32]:
        """Expression in the protocol's target units, (spots, genes) float32; of a large slide, gigabytes."""
        return self.target_of(slice(None))

    def target_of(self, genes: slice) -> NDArray[np.float32]:
        """Return the target of some genes, (spots, genes) float32."""
        from scipy.sparse import issparse

        chosen = self.adata.X[:, genes]
        return np.asarray(chosen.toarray(order="F") if issparse(chosen) else chosen, np.float32)

    @property
    def measured(self) -> NDArray[np.bool_]:
        """False where a value was imputed or its gene not measured, (spots, genes); not to be written to."""
        if "measured" in self.adata.layers:
            return np.asarray(self.adata.layers["measured"], bool)
        genes = np.asarray(self.adata.var["measured"], bool)
        return np.broadcast_to(genes, (self.n_spots, len(genes)))  # takes no memory

    @property
    def image(self) -> SlideImage:
        """The H&E image; regions are read without loading the file."""
        return self._image_source.image

    @property
    def mpp(self) -> float:
        """µm per pixel of the image."""
        if self.info.mpp is None:
            raise DataError(f"slide {self.info.id}: the image's scale (µm per pixel) is unknown; give its mpp")
        return self.info.mpp

    def patches(self, *, pixels: int, microns: float) -> NDArray[np.uint8]:
        """Square patches around the spots.

        Parameters
        ----------
        pixels
            Side of the returned patches.
        microns
            Side of the tissue square: a slide scanned at another scale gives the same tissue area.

        Returns
        -------
        (spots, pixels, pixels, 3) uint8, memory-mapped from the cache; white beyond the image's edge.
        """
        patches = self._image_source.patches(pixels=pixels, side_px=microns / self.mpp)
        return patches if self.rows is None else patches[self.rows]

    def masked_fraction(self) -> NDArray[np.float64]:
        """Share of each spot's disk that lies on masked (blackened) background, (spots,)."""
        fractions = self._image_source.masked_fraction(self.info.spot_um / self.mpp)
        return fractions if self.rows is None else fractions[self.rows]

    def neighbours(
        self,
        kind: Literal["grid", "knn", "radius"] = "grid",
        *,
        k: int = 6,
        radius_um: float = 0.0,
        hops: int = 1,
    ) -> neighbours.Edges:
        """Directed edges between neighbouring spots.

        Parameters
        ----------
        kind
            ``grid``: 6 (hex) or 8 (Moore) neighbours from array coordinates, and the `k` nearest where the slide
            has no grid; ``knn``: the `k` nearest centres; ``radius``: all within `radius_um`.
        hops
            Steps over these edges.

        Returns
        -------
        (2, edges) int64.
        """
        if kind == "grid" and self.info.grid != "none":
            row, col = self.array_positions.round().astype(np.int64).T
            edges = neighbours.grid_edges(row, col, self.info.grid)
        elif kind == "radius":
            edges = neighbours.radius_edges(self.centers_px, radius_um / self.mpp)
        else:
            edges = neighbours.knn_edges(self.centers_px, k)
        return edges if hops == 1 else neighbours.hop_closure(edges, self.n_spots, hops)

    def subset(self, keep: ArrayLike) -> Slide:
        """Return the same slide with some of its spots (boolean mask or row numbers)."""
        selection = np.asarray(keep)
        rows = np.flatnonzero(selection) if selection.dtype == bool else selection.astype(np.int64)
        if len(rows) == self.n_spots and np.array_equal(rows, np.arange(self.n_spots)):
            return self
        source_rows = rows if self.rows is None else self.rows[rows]
        return Slide(some_rows(self.adata, rows), self.info, self.source, source_rows)

    def block(self, rows: slice) -> Slide:
        """Return consecutive spots on their own: nothing that is computed of their patches stays in the cache."""
        index = np.arange(self.n_spots)[rows] if self.rows is None else self.rows[rows]
        return Slide(self.adata[rows].copy(), self.info, self.source and self.source.passing(index))

    def with_adata(self, adata: AnnData) -> Slide:
        """Return the same spots and image with other per-spot data."""
        return Slide(adata, self.info, self.source, self.rows)

    def without_expression(self, *, labels: bool = False) -> Slide:
        """Return what `predict` may see: a new AnnData from an allow-list, so that nothing leaks by accident.

        Kept are spot names, centres, array positions and the slide's info; labels, counts, layers, gene
        annotations and ``uns`` are not.

        Parameters
        ----------
        labels
            Keep ``obs["region"]`` too: what metrics are given, and no model ever is.
        """
        import pandas as pd
        from anndata import AnnData

        allowed = (*ALLOWED_OBS, LABELS) if labels else ALLOWED_OBS
        kept = {c: self.adata.obs[c].to_numpy(copy=True) for c in allowed if c in self.adata.obs}
        obs = pd.DataFrame(kept, index=self.adata.obs_names)  # a new frame: a copied one keeps `attrs`
        return self.with_adata(AnnData(obs=obs, obsm={"spatial": self.centers_px.copy()}))

    def at(self, centers_px: ArrayLike, spot_um: float | None = None) -> Slide:
        """Return the same object for any points of this slide's image, without expression.

        Parameters
        ----------
        centers_px
            (n, 2) pixel centres (x, y).
        spot_um
            Spot size at these points; the slide's own if None.

        Notes
        -----
        Array positions are fractional: the least-squares affine map from pixels to the slide's own array.
        """
        from dataclasses import replace

        import pandas as pd
        from anndata import AnnData

        points = np.asarray(centers_px, np.float64).reshape(-1, 2)
        names = pd.Index([f"{x:.12g}x{y:.12g}" for x, y in points])
        obs = pd.DataFrame(self._pixel_to_array(points), index=names, columns=list(ALLOWED_OBS))
        info = replace(self.info, spot_um=self.info.spot_um if spot_um is None else spot_um, grid="none")
        source = self.source and self.source.at(points)
        return Slide(AnnData(obs=obs, obsm={"spatial": points}), info, source)

    def _pixel_to_array(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        own = np.column_stack([self.centers_px, np.ones(self.n_spots)])
        affine, *_ = np.linalg.lstsq(own, self.array_positions, rcond=None)
        return np.asarray(np.column_stack([points, np.ones(len(points))]) @ affine)

    @cached_property
    def _image_source(self) -> ImageSource:
        if self.source is None:
            reason = self.info.image_missing or "none was given"
            raise DataError(f"slide {self.info.id} of {self.info.dataset} has no image: {reason}")
        return self.source


def some_rows(adata: AnnData, rows: NDArray[np.int64]) -> AnnData:
    """Some rows of an AnnData of their own; ``adata[rows].copy()`` would hold the values twice meanwhile."""
    from anndata import AnnData

    if adata.raw is not None or adata.X is None:
        return adata[rows].copy()
    kinds = ("obsm", "varm", "obsp", "varp", "layers")
    rest = AnnData(obs=adata.obs, var=adata.var, uns=adata.uns, **{kind: dict(getattr(adata, kind)) for kind in kinds})
    new = rest[rows].copy()
    new.X = adata.X[rows]
    return new


def array_columns(row: ArrayLike, col: ArrayLike) -> dict[str, Any]:
    """Columns of ``obs`` that every reader fills."""
    return {"array_row": np.asarray(row), "array_col": np.asarray(col)}
