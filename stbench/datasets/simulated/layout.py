"""The plan of a simulated section: regions, cellularity and fibres, drawn from smooth random fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

REGIONS: tuple[str, ...] = ("tumour", "stroma", "immune", "adipose")
TUMOUR, STROMA, IMMUNE, ADIPOSE = range(4)

SIZE_PX = 1280  # at 1 µm per pixel
CELL_PX = 4  # layouts are drawn on a grid this coarse, then interpolated
CELLS = SIZE_PX // CELL_PX

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """A section's plan, one value per pixel ``(1280, 1280)``."""

    tissue: Float  # 1 in tissue, 0 on glass, soft in between
    region: NDArray[np.intp]  # index into REGIONS
    cellularity: Float  # share of the possible nuclei that are there, 0.3 to 1
    fibre_along: Float  # curvilinear coordinates of the fibres, µm
    fibre_across: Float


def section_layout(patient_rng: np.random.Generator, section_rng: np.random.Generator) -> Layout:
    """Draw the patient's layout and deform it as cutting and mounting would deform this section."""
    grid = np.mgrid[:CELLS, :CELLS].astype(np.float32)
    slip = 12 * section_rng.standard_normal((2, 1, 1), dtype=np.float32)
    stretch = np.stack([14 * smooth_noise(section_rng, 200), 14 * smooth_noise(section_rng, 200)])
    source = grid + (slip + stretch) / CELL_PX

    def patient_field(*scales_um: float) -> Float:
        field = sum((smooth_noise(patient_rng, s) / 2**k for k, s in enumerate(scales_um)), np.float32(0))
        return upsample(map_coordinates(field, source, order=1, mode="nearest"))

    half = SIZE_PX / 2
    y, x = (np.mgrid[:SIZE_PX, :SIZE_PX].astype(np.float32) - half) / half
    inside = 1 - (np.abs(x) ** 5 + np.abs(y) ** 5) ** 0.2  # a rounded square, as trimmed blocks are
    edge_um = (inside - 0.1) * half + 22 * patient_field(90, 30, 10)

    region = np.full((SIZE_PX, SIZE_PX), STROMA)
    shares = ((TUMOUR, 0.30, 0.48), (IMMUNE, 0.12, 0.2), (ADIPOSE, 0.1, 0.17))
    for index, least, most in shares:  # the later ones grow over the earlier ones
        field = patient_field(110, 35)
        region[field > np.quantile(field[::8, ::8], 1 - patient_rng.uniform(least, most))] = index

    angle = patient_rng.uniform(0, np.pi)
    return Layout(
        tissue=np.clip(edge_um / 5, 0, 1),
        region=region,
        cellularity=np.clip(0.72 + 0.22 * patient_field(60), 0.3, 1),
        fibre_along=np.float32(half) * (np.cos(angle) * x + np.sin(angle) * y) + 60 * patient_field(120),
        fibre_across=np.float32(half) * (np.cos(angle) * y - np.sin(angle) * x) + 60 * patient_field(120),
    )


def with_septa(layout: Layout, rng: np.random.Generator) -> NDArray[np.intp]:
    """Split the tumour into nests parted by thin bands of stroma: what is painted at each pixel."""
    nests = upsample(smooth_noise(rng, 22))
    return np.where((layout.region == TUMOUR) & (np.abs(nests) < 0.22), STROMA, layout.region)


def smooth_noise(rng: np.random.Generator, scale_um: float) -> Float:
    """Gaussian field of unit variance on the coarse grid ``(320, 320)``, smooth over `scale_um`."""
    field = blur(white_noise(rng, (CELLS, CELLS)), scale_um / CELL_PX)
    field /= field.std()
    return field


def white_noise(rng: np.random.Generator, shape: tuple[int, int] = (SIZE_PX, SIZE_PX)) -> Float:
    """Independent standard normal values."""
    return rng.standard_normal(shape, dtype=np.float32)


def blur(image: Float, sigma_px: float | tuple[float, float]) -> Float:
    """Gaussian blur; the edges wrap around."""
    return np.asarray(gaussian_filter(image, sigma_px, truncate=2.5, mode="grid-wrap"), dtype=np.float32)


def upsample(coarse: Float) -> Float:
    """Interpolate a coarse field linearly to one value per pixel ``(1280, 1280)``."""
    position = np.linspace(0, CELLS - 1, SIZE_PX, dtype=np.float32)
    low = np.minimum(position.astype(np.intp), CELLS - 2)
    weight = position - low.astype(np.float32)
    rows: Float = coarse[low] * (1 - weight)[:, None] + coarse[low + 1] * weight[:, None]
    columns: Float = rows[:, low] * (1 - weight) + rows[:, low + 1] * weight
    return columns


def jittered_lattice(spacing_um: float, jitter: float, rng: np.random.Generator) -> Float:
    """Hexagonal lattice of points x, y ``(m, 2)``, each moved by `jitter` spacings (standard deviation)."""
    rows = np.arange(0, SIZE_PX, spacing_um * np.sqrt(3) / 2)
    x, y = np.meshgrid(np.arange(0, SIZE_PX, spacing_um), rows)
    x[1::2] += spacing_um / 2
    points = np.column_stack([x.ravel(), y.ravel()])
    return (points + rng.normal(0, jitter * spacing_um, points.shape)).astype(np.float32)
