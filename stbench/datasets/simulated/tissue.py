"""Simulated H&E sections: regions, nuclei, the stained image and the spots of the array.

A patient has an outline and a layout of regions; each section is that layout, slightly deformed, filled with
its own nuclei. The image is painted as amounts of haematoxylin and eosin, which scikit-image turns into RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from stbench.datasets.simulated import staining
from stbench.datasets.simulated.layout import (
    IMMUNE,
    REGIONS,
    SIZE_PX,
    Float,
    Layout,
    jittered_lattice,
    section_layout,
    with_septa,
)
from stbench.datasets.simulated.staining import APPEARANCE, Nuclei

__all__ = ["PITCH_UM", "REGIONS", "SIZE_PX", "SPOT_DIAMETER_UM", "Ground", "Tissue", "grow_ground", "grow_tissue"]

PITCH_UM = 75.0
SPOT_DIAMETER_UM = 55.0
_STRAY_LYMPHOCYTES = 0.03  # share of the lymphocyte sites outside aggregates that are taken

# Random streams: what a patient's sections share, then what each section has of its own.
_LAYOUT, _STAIN, _DEFORMATION, _TEXTURE, _NUCLEI = range(5)


@dataclass(frozen=True)
class Tissue:
    """One section: its image, its spots and what lies under them.

    Attributes
    ----------
    image
        RGB, ``(1280, 1280, 3)`` uint8.
    mpp
        Micrometres per pixel.
    centers_px
        Spot centres ``(n, 2)``, x then y. Only spots over tissue are listed; all lie fully inside the image.
    array_row, array_col
        Hexagonal array coordinates ``(n,)`` in the Visium convention: neighbours in a row differ by two
        columns, odd rows have odd columns.
    region
        Name of the region at each spot's centre ``(n,)``, one of `REGIONS`.
    nuclei_per_spot
        Number of nuclei drawn with their centre within each spot's 55 µm disc ``(n,)``.
    """

    image: NDArray[np.uint8]
    mpp: float
    centers_px: NDArray[np.float64]
    array_row: NDArray[np.int64]
    array_col: NDArray[np.int64]
    region: NDArray[np.str_]
    nuclei_per_spot: NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """One section before anything is measured on it.

    Attributes
    ----------
    image
        RGB, ``(1280, 1280, 3)`` uint8, at 1 µm per pixel.
    layout
        What lies at each pixel.
    nuclei
        Centres of the nuclei, in pixels.
    """

    image: NDArray[np.uint8]
    layout: Layout
    nuclei: cKDTree

    def nuclei_around(self, centers_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count the nuclei within the 55 µm disc around each of the points ``(n, 2)``."""
        within = self.nuclei.query_ball_point(centers_px, SPOT_DIAMETER_UM / 2, return_length=True)
        return np.asarray(within, dtype=np.float64)


def grow_ground(patient: int, section: int, seed: int = 0) -> Ground:
    """Simulate a section's tissue and its image; the same arguments give the same bytes.

    Sections of a patient share the layout of regions and the stain, not the nuclei.

    Parameters
    ----------
    patient, section, seed
        Non-negative integers naming the section.
    """
    layout = section_layout(
        np.random.default_rng([seed, patient, 0, _LAYOUT]),
        np.random.default_rng([seed, patient, section, _DEFORMATION]),
    )
    texture_rng = np.random.default_rng([seed, patient, section, _TEXTURE])
    compartment = with_septa(layout, texture_rng)
    vacuoles = staining.vacuoles(compartment, texture_rng)
    nuclei_rng = np.random.default_rng([seed, patient, section, _NUCLEI])
    nuclei = _seed_nuclei(layout, compartment, vacuoles, nuclei_rng)

    haematoxylin, eosin = staining.matrix_stain(layout, compartment, vacuoles, texture_rng)
    np.maximum(haematoxylin, staining.nuclear_stain(nuclei, layout, nuclei_rng), out=haematoxylin)
    stain_rng = np.random.default_rng([seed, patient, 0, _STAIN])
    image = staining.develop(haematoxylin, eosin, stain_rng, texture_rng)

    return Ground(image, layout, cKDTree(np.column_stack([nuclei.x, nuclei.y])))


def grow_tissue(patient: int, section: int, seed: int = 0) -> Tissue:
    """Simulate one section with its spots; parameters are those of `grow_ground`."""
    ground = grow_ground(patient, section, seed)
    row, col, centers = _spots_over(ground.layout.tissue)
    x, y = centers.round().astype(np.intp).T
    return Tissue(
        image=ground.image,
        mpp=1.0,
        centers_px=centers,
        array_row=row,
        array_col=col,
        region=np.array(REGIONS)[ground.layout.region[y, x]],
        nuclei_per_spot=ground.nuclei_around(centers),
    )


def _seed_nuclei(layout: Layout, compartment: NDArray[np.intp], vacuoles: Float, rng: np.random.Generator) -> Nuclei:
    """Place nuclei of each cell type at their own spacing, thinned by the cellularity."""
    room = layout.cellularity * (layout.tissue > 0.5) * (vacuoles < 0.3)
    sites, kinds = [], []
    for kind, appearance in enumerate(APPEARANCE):
        site = jittered_lattice(appearance.spacing_um, 0.24, rng)
        site = site[((site >= 0) & (site <= SIZE_PX - 1)).all(axis=1)]
        x, y = site.round().astype(np.intp).T
        stray = _STRAY_LYMPHOCYTES if kind == IMMUNE else 0.0
        chance = room[y, x] * np.where(compartment[y, x] == kind, 1.0, stray)
        taken = site[rng.random(len(site)) < chance]
        sites.append(taken)
        kinds.append(np.full(len(taken), kind))
    x_um, y_um = np.concatenate(sites).T
    return Nuclei(x_um, y_um, np.concatenate(kinds))


def _spots_over(tissue: Float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Array row, array column and centre x, y (px) of the spots whose centre lies on tissue."""
    margin, row_pitch = SPOT_DIAMETER_UM / 2, PITCH_UM * np.sqrt(3) / 2
    room = SIZE_PX - 1 - 2 * margin
    row, col = np.mgrid[: int(room / row_pitch) + 1, : int(room / (PITCH_UM / 2)) + 1]
    row, col = row[(row + col) % 2 == 0], col[(row + col) % 2 == 0]
    centers = margin + np.column_stack([col * PITCH_UM / 2, row * row_pitch])
    x, y = centers.round().astype(np.intp).T
    kept = tissue[y, x] >= 1
    return row[kept].astype(np.int64), col[kept].astype(np.int64), centers[kept]
