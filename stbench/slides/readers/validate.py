"""What must hold of every section, whoever read it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides import cache
from stbench.slides.image import open_image
from stbench.slides.readers.assemble import refuse_duplicates, why_not_counts
from stbench.slides.readers.section import Section

MUCH_LARGER = 1.5
"""Spots that reach this many times as far as the image are in pixels of another image."""

CORNER, DENSE_PX = 0.25, 8.0
"""Spots within this share of both sides and closer together than this are in pixels of another image, too."""

SMALL_SPOT_PX = 8.0
TOLERATED_DISAGREEMENT = 0.05


def validate(section: Section, name: str, cache_dir: Path) -> list[str]:
    """Check counts, ids, coordinates and image of a section.

    Parameters
    ----------
    name
        The slide, for messages.
    cache_dir
        The cache's root; a decoded image is kept where `ImageSource` will look for it.

    Returns
    -------
    Sentences for the user: what is odd but usable.

    Raises
    ------
    DataError
        No spots or genes; values that are not counts; ids given twice; centres that are missing or outside of the
        image; an image that is damaged or at another scale than the centres.
    """
    adata, where = section.adata, f"slide {name}"
    if not adata.n_obs or not adata.n_vars:
        what = "spots" if not adata.n_obs else "genes"
        raise DataError(f"{where} has no {what}; check that its files are complete and belong together")
    refuse_duplicates(where, "spot", adata.obs_names)
    refuse_duplicates(where, "gene", adata.var_names)
    if reason := why_not_counts(adata.X):
        raise DataError(f"{where}: {reason}; give raw counts (whole numbers ≥ 0)")
    centers = np.asarray(adata.obsm["spatial"], np.float64)
    if not np.isfinite(centers).all():
        missing = int((~np.isfinite(centers)).any(axis=1).sum())
        raise DataError(f"{where}: {missing} of {len(centers)} spots have no coordinates; remove them or fill them in")
    return [*_notes_on_spots(section), *_check_image(section, centers, where, cache_dir)]


def _notes_on_spots(section: Section) -> list[str]:
    empty = int((np.asarray(section.adata.X.sum(axis=1)) == 0).sum())
    return [f"{empty} of {section.adata.n_obs} spots have no counts at all"] if empty else []


def _check_image(section: Section, centers: NDArray[np.float64], where: str, cache_dir: Path) -> list[str]:
    if section.image is None:
        return []
    image = open_image(section.image, cache_dir / "images", cache.sha256(section.image, cache_dir))
    size = np.array(image.size)
    known = np.asarray(section.adata.obs["in_tissue"], bool) if "in_tissue" in section.adata.obs else None
    matter = centers if known is None or not known.any() else centers[known]
    _refuse_other_scale(matter, size, where, section.image)
    beyond = int(((matter < 0) | (matter >= size)).any(axis=1).sum())
    if beyond:
        raise DataError(
            f"{where}: {beyond} of {len(matter)} spots lie outside of {section.image} ({size[0]} × {size[1]} px); "
            + _remedy(matter, size)
        )
    notes = []
    if off := int(((centers < 0) | (centers >= size)).any(axis=1).sum()):
        notes.append(f"{off} spots that are not in tissue lie outside of the image")
    if section.mpp is None:
        stated = f"; the image file itself says {image.mpp:.4g}" if image.mpp else ""
        return [*notes, f"µm per pixel of the image are unknown; give its mpp{stated}"]
    if image.mpp and abs(image.mpp / section.mpp - 1) > TOLERATED_DISAGREEMENT:
        notes.append(f"the image file says {image.mpp:.4g} µm/px, {section.mpp_source} says {section.mpp:.4g}")
    spot_px = section.spot_um / section.mpp
    if spot_px < SMALL_SPOT_PX:
        notes.append(f"a spot is {spot_px:.1f} px across: the image is too small to predict from; give a larger one")
    return notes


def _remedy(centers: NDArray[np.float64], size: NDArray[np.int64]) -> str:
    if ((centers >= 0) & (centers[:, ::-1] < size)).all():
        return "all would lie inside with x and y exchanged: check which is which, and import with --swap-xy"
    return "give the image the coordinates were measured in"


def _refuse_other_scale(centers: NDArray[np.float64], size: NDArray[np.int64], where: str, image: Path) -> None:
    reach = centers.max(axis=0)
    box = f"spots reach ({reach[0]:.0f}, {reach[1]:.0f}) px, {image} is {size[0]} × {size[1]} px"
    advice = "image and coordinates are at different scales; give the image the coordinates were measured in"
    if (np.ptp(centers, axis=0) > MUCH_LARGER * size).any() or (reach > 2 * MUCH_LARGER * size).all():
        raise DataError(f"{where}: {box}: {advice}")
    if (reach < CORNER * size).all() and len(centers) > 1 and _pitch_px(centers) < DENSE_PX:
        raise DataError(f"{where}: {box}: {advice}")


def _pitch_px(centers: NDArray[np.float64]) -> float:
    """Median distance to the nearest other spot."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(centers).query(centers, k=2)
    return float(np.median(distance[:, 1]))
