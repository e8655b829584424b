"""How a simulated section looks: cell types, matrix and fat as haematoxylin and eosin, developed into RGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree
from skimage.color import hed2rgb

from stbench.datasets.simulated.layout import (
    ADIPOSE,
    CELL_PX,
    CELLS,
    SIZE_PX,
    STROMA,
    Float,
    Layout,
    blur,
    jittered_lattice,
    smooth_noise,
    upsample,
    white_noise,
)


@dataclass(frozen=True)
class Appearance:
    """What the nuclei of a cell type look like, and how close they lie."""

    spacing_um: float
    diameter_um: float
    elongation: float
    haematoxylin: float
    pallor: float  # how much paler the centre is than the rim: open chromatin


APPEARANCE = (  # in the order of REGIONS, as the cytoplasm's stains below
    Appearance(spacing_um=12.0, diameter_um=10.5, elongation=1.3, haematoxylin=0.12, pallor=0.5),
    Appearance(spacing_um=19.0, diameter_um=6.0, elongation=3.4, haematoxylin=0.14, pallor=0.1),
    Appearance(spacing_um=7.8, diameter_um=7.0, elongation=1.1, haematoxylin=0.17, pallor=0.15),
    Appearance(spacing_um=22.0, diameter_um=5.5, elongation=2.2, haematoxylin=0.14, pallor=0.1),
)
_CYTOPLASM_HAEMATOXYLIN = np.array([0.022, 0.017, 0.020, 0.012], dtype=np.float32)
_CYTOPLASM_EOSIN = np.array([0.020, 0.028, 0.012, 0.024], dtype=np.float32)


@dataclass(frozen=True)
class Nuclei:
    """Nuclei ``(m,)``: where they lie and how they look."""

    x: Float
    y: Float
    kind: NDArray[np.intp]  # index into REGIONS: the cell type is named after its home


def vacuoles(compartment: NDArray[np.intp], rng: np.random.Generator) -> Float:
    """Fat: 1 within an adipocyte, 0 on the membranes between them and outside adipose tissue."""
    cells = jittered_lattice(50.0, 0.3, rng)
    y, x = np.nonzero(compartment == ADIPOSE)
    distance, _ = cKDTree(cells).query(np.column_stack([x, y]), k=2)
    fat = np.zeros(compartment.shape, dtype=np.float32)
    fat[y, x] = np.clip((distance[:, 1] - distance[:, 0] - 2) / 3, 0, 1)
    return blur(fat, 1.5)


def matrix_stain(
    layout: Layout, compartment: NDArray[np.intp], vacuoles: Float, rng: np.random.Generator
) -> tuple[Float, Float]:
    """Haematoxylin and eosin of everything but the nuclei, each ``(1280, 1280)``."""
    strands = blur(white_noise(rng, (SIZE_PX, CELLS)), (1.6, 9))
    along_across = np.stack([layout.fibre_across, layout.fibre_along / CELL_PX])
    fibres = map_coordinates(strands / strands.std(), along_across, order=1, mode="grid-wrap")
    fibrous = blur((compartment == STROMA).astype(np.float32), 2.5)
    clefts = fibrous * np.clip(fibres + 1.1 * upsample(smooth_noise(rng, 25)) - 2.2, 0, 0.85)
    grain = blur(white_noise(rng), 1.5)
    unevenness = 0.12 * upsample(smooth_noise(rng, 40)) + 0.5 * grain
    unevenness += fibrous * (0.2 * grain - 0.22 * fibres)
    amount = layout.tissue * (1 - 0.95 * vacuoles) * (1 - clefts) * np.maximum(1 + unevenness, 0)
    return (
        amount * blur(_CYTOPLASM_HAEMATOXYLIN[compartment], 2.5),
        amount * blur(_CYTOPLASM_EOSIN[compartment], 2.5),
    )


def nuclear_stain(nuclei: Nuclei, layout: Layout, rng: np.random.Generator) -> Float:
    """Haematoxylin bound by nuclei ``(1280, 1280)``: soft ellipses, spindles lying along the fibres."""
    count = len(nuclei.x)
    spread = rng.standard_normal((4, count), dtype=np.float32)
    by_kind = [(a.diameter_um, a.elongation, a.haematoxylin, a.pallor) for a in APPEARANCE]
    diameter, elongation, level, pallor = np.array(by_kind, dtype=np.float32)[nuclei.kind].T
    radius = np.clip(diameter * np.exp(0.12 * spread[0]) / 2, 2, 7)
    stretch = np.sqrt(np.clip(elongation * (1 + 0.15 * spread[1]), 1, 4))
    level = level * np.exp(0.15 * spread[2])

    left, top = nuclei.x.astype(np.intp), nuclei.y.astype(np.intp)
    slope_y, slope_x = (np.gradient(layout.fibre_across, axis=axis)[top, left] for axis in (0, 1))
    along_fibre = np.arctan2(-slope_x, slope_y) + 0.2 * spread[3]
    angle = np.where(nuclei.kind == STROMA, along_fibre, rng.uniform(0, np.pi, count)).astype(np.float32)

    offset = np.arange(-11, 12)
    rows, cols = top[:, None, None] + offset[:, None], left[:, None, None] + offset
    dy = rows.astype(np.float32) - nuclei.y[:, None, None]  # (nuclei, 23, 1)
    dx = cols.astype(np.float32) - nuclei.x[:, None, None]  # (nuclei, 1, 23)
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    r, s = radius[:, None, None], stretch[:, None, None]
    # Squared distance in units of the ellipse, (nuclei, 23, 23).
    squared = ((cos * dx + sin * dy) / (r * s)) ** 2 + ((cos * dy - sin * dx) * s / r) ** 2
    inside = np.clip((1 - np.sqrt(squared)) * r / s / 1.2 + 0.5, 0, 1)
    stain = level[:, None, None] * inside * (1 - pallor[:, None, None] * (1 - np.minimum(squared, 1)))

    padded = np.zeros((SIZE_PX + 22, SIZE_PX + 22), dtype=np.float32)
    np.maximum.at(padded.ravel(), ((rows + 11) * padded.shape[1] + cols + 11).ravel(), stain.ravel())
    chromatin = blur(white_noise(rng), 1.1)
    return np.asarray(padded[11:-11, 11:-11] * np.clip(1 + 0.9 * chromatin, 0.4, 1.8), dtype=np.float32)


def develop(
    haematoxylin: Float, eosin: Float, stain_rng: np.random.Generator, camera_rng: np.random.Generator
) -> NDArray[np.uint8]:
    """RGB of the stained section: the patient's stain batch, the lens, the glass and the camera's noise."""
    h_strength, e_strength = np.exp(stain_rng.normal(0, 0.1, 2)).astype(np.float32)
    brown = np.float32(stain_rng.uniform(0, 0.12))  # hue of the batch, from bluish to brownish
    glass = np.array([0.955, 0.935, 0.95]) + stain_rng.normal(0, 0.008, 3)
    h, e = blur(haematoxylin, 0.8) * h_strength, blur(eosin, 0.8) * e_strength
    rgb = hed2rgb(np.stack([h, e, brown * (h + e)], axis=-1)) * glass.astype(np.float32)
    rgb += 0.012 * camera_rng.standard_normal(rgb.shape, dtype=np.float32)
    return np.asarray(np.clip(rgb, 0, 1) * 255 + 0.5, dtype=np.uint8)
