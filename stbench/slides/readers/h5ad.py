"""AnnData files in scverse conventions: ``obsm["spatial"]``, ``uns["spatial"][library]["images"|"scalefactors"]``.

Regions come from the first of `tables.REGION_COLUMNS` in ``obs`` that is text or categorical; genes are named as
`genes.ids_and_symbols` says.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides import cache
from stbench.slides.info import Grid
from stbench.slides.readers import tables
from stbench.slides.readers.assemble import CENTERS_AS_ARRAY, assemble, why_not_counts
from stbench.slides.readers.genes import ids_and_symbols
from stbench.slides.readers.images import images_in, store_embedded
from stbench.slides.readers.pitch import NO_FIT, Scale, arrangement
from stbench.slides.readers.section import Section
from stbench.slides.readers.visium import SPOT_UM, TAKEN_FOR_VISIUM, scale_of_fiducials, visium_scale

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

MPP_KEYS = ("mpp", "pixel_size_um_estimated", "pixel_size_um", "microns_per_pixel")
"""Keys of a JSON file beside the image that state µm per pixel (the second is HEST's)."""


def read_h5ad_section(path: Path, image: Path | None = None, cache_dir: Path | None = None) -> Section:
    """Read one section.

    Parameters
    ----------
    image
        The image ``obsm["spatial"]`` refers to. Without it, an image file of the same stem beside `path` is taken, else
        the largest image embedded in ``uns["spatial"]``, with coordinates scaled to it.
    cache_dir
        Where an embedded image is written, once; stbench's cache if None.

    Raises
    ------
    DataError
        A damaged file; no raw counts; no coordinates; several libraries.
    """
    adata = _read(path)
    library = _library(adata, path)
    scalefactors = library.get("scalefactors") or {}
    matrix, var, notes = _counts(adata, path)
    image, factor, said = _choose_image(path, image, library, cache_dir)
    centers = _centers(adata, path) * factor
    array = _array(adata.obs)
    grid: Grid = "none" if array is None else arrangement(array, centers)
    if array is not None and grid == "hex":
        scale = visium_scale(array, centers, scalefactors, factor)
        notes.append(TAKEN_FOR_VISIUM)
    else:
        scale = _stated_scale(path, image, scalefactors, factor)
        notes.append(f"the file does not say how large a spot is; {SPOT_UM:g} µm assumed")
    if array is None:
        notes.append(CENTERS_AS_ARRAY)
    elif grid == "none":
        notes.append(NO_FIT)
    ids, symbols = ids_and_symbols(var)
    built = assemble(
        path, matrix, [str(n) for n in adata.obs_names], ids, centers, symbols=symbols,
        array=array, in_tissue=_in_tissue(adata.obs, path), region=_region(adata.obs),
    )  # fmt: skip
    technology = "Visium" if grid == "hex" else ""
    everything = (*notes, *said, *scale.notes)
    return Section(built, image, scale.mpp, scale.source, SPOT_UM, "circle", grid, technology, everything)


def _read(path: Path) -> AnnData:
    import anndata

    if not path.is_file():
        raise DataError(f"{path} is not there; correct the path")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*names are not unique")
            return anndata.read_h5ad(path)
    except Exception as error:  # h5py and anndata raise whatever a damaged byte leads them to
        reason = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path} is truncated or not an h5ad file ({reason}); fetch it again") from error


def _library(adata: AnnData, path: Path) -> Mapping[str, Any]:
    """The one entry of ``uns["spatial"]``; empty if there is none."""
    spatial = adata.uns.get("spatial")
    entries = [v for v in spatial.values() if isinstance(v, Mapping)] if isinstance(spatial, Mapping) else []
    if len(entries) > 1:
        named = ", ".join(str(key) for key in spatial)
        raise DataError(f"{path} holds {len(entries)} libraries ({named}); write one file per section")
    return entries[0] if entries else {}


def _counts(adata: AnnData, path: Path) -> tuple[Any, DataFrame, list[str]]:
    """Raw counts, the annotation of their genes, and where they were if not in X."""
    places = [("X", adata.X, adata.var), ("layers['counts']", adata.layers.get("counts"), adata.var)]
    if adata.raw is not None:
        places.append(("raw.X", adata.raw.X, adata.raw.var))
    reasons = []
    for place, matrix, var in places:
        reason = "not there" if matrix is None else why_not_counts(matrix)
        if not reason:
            return matrix, var, [] if place == "X" else [f"counts are those of {place}"]
        reasons.append(f"{place}: {reason}")
    raise DataError(f"{path} has no raw counts ({'; '.join(reasons)}); put them in X or layers['counts']")


def _centers(adata: AnnData, path: Path) -> NDArray[np.float64]:
    """Spot centres (x, y) as stored, (spots, 2)."""
    if "spatial" in adata.obsm:
        stored = np.asarray(adata.obsm["spatial"])
        if stored.ndim == 2 and stored.shape[1] >= 2 and stored.dtype.kind in "iuf":
            return stored[:, :2].astype(np.float64)
        raise DataError(f"{path}: obsm['spatial'] must hold numbers (x, y) per spot; its shape is {stored.shape}")
    columns = tables.find_columns(adata.obs.columns, tables.PIXEL_COLUMNS)
    if columns is None:
        raise DataError(
            f"{path}: neither obsm['spatial'] nor pixel columns in obs (such as x_pixel, y_pixel); add them"
        )
    return _numeric(adata.obs, columns, path)


def _numeric(obs: DataFrame, columns: tuple[str, ...], path: Path) -> NDArray[np.float64]:
    try:
        return np.asarray(obs[list(columns)], np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: obs columns {', '.join(columns)} must be numbers ({error}); correct them") from error


def _array(obs: DataFrame) -> NDArray[np.float64] | None:
    """Whole array coordinates (row, column), if every spot has its own."""
    columns = tables.find_columns(obs.columns, tables.ARRAY_COLUMNS)
    if columns is None or any(obs[c].dtype.kind not in "iuf" for c in columns):
        return None
    array = obs[list(columns)].to_numpy(dtype=np.float64)
    whole = np.isfinite(array).all() and (array == np.round(array)).all()
    return array if whole and len(np.unique(array, axis=0)) == len(array) else None


def _choose_image(
    path: Path, image: Path | None, library: Mapping[str, Any], cache_dir: Path | None
) -> tuple[Path | None, float, list[str]]:
    """Return the image, its pixels per pixel of the coordinates, and what to say about it."""
    beside = [image] if image else images_in(path.parent, path.stem)
    if beside:
        return beside[0], 1.0, [] if image else [f"{beside[0].name}, beside the file, is the image"]
    scalefactors = library.get("scalefactors") or {}
    embedded = library.get("images") or {}
    factors = {key: float(scalefactors.get(f"tissue_{key}_scalef", key == "fullres")) for key in embedded}
    usable = [key for key, factor in factors.items() if factor > 0 and np.ndim(embedded[key]) in (2, 3)]
    if not usable:
        return None, 1.0, []
    key = max(usable, key=lambda k: int(np.asarray(embedded[k]).size))
    factor = factors[key]
    height, width = np.shape(embedded[key])[:2]
    note = f"the embedded {key} image ({width} × {height} px, {factor:.4g} of full resolution) is the image"
    return store_embedded(embedded[key], cache_dir or cache.root()), factor, [note]


def _stated_scale(path: Path, image: Path | None, scalefactors: Mapping[str, Any], factor: float) -> Scale:
    """Scale as a JSON file beside the h5ad states it, else from the fiducials Space Ranger measured."""
    sidecar = path.with_suffix(".json")
    if image is not None and sidecar.is_file() and factor == 1:
        try:
            stated = json.loads(sidecar.read_text())
        except (OSError, ValueError) as error:
            raise DataError(f"{sidecar} is truncated or not JSON ({error}); fetch it again") from error
        for key in MPP_KEYS if isinstance(stated, dict) else ():
            if isinstance(stated.get(key), int | float) and stated[key] > 0:
                return Scale(float(stated[key]), f"{key} in {sidecar.name}")
    return scale_of_fiducials(scalefactors, factor)


def _in_tissue(obs: DataFrame, path: Path) -> NDArray[np.bool_] | None:
    found = tables.find_columns(obs.columns, (("in_tissue",),))
    if found is None:
        return None
    text = obs[found[0]].astype(str).str.lower()
    if not text.isin(["0", "1", "0.0", "1.0", "true", "false"]).all():
        raise DataError(f"{path}: obs['{found[0]}'] must hold 0 or 1 in every row; correct it")
    return np.asarray(text.isin(["1", "1.0", "true"]))


def _region(obs: DataFrame) -> list[object] | None:
    for name in tables.REGION_COLUMNS:
        found = tables.find_columns(obs.columns, ((name,),))
        if found and obs[found[0]].dtype.kind == "O":  # text, or categories of text
            return list(obs[found[0]].astype(object))
    return None
