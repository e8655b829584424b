"""What is known of a slide without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grid = Literal["hex", "square", "none"]
SpotShape = Literal["circle", "square"]


@dataclass(frozen=True, kw_only=True)
class SlideInfo:
    """Metadata of one tissue section at one resolution.

    Attributes
    ----------
    id, patient, image_id, dataset
        Names. Bin sizes of one section are slides that share an `image_id`.
    spot_um
        Diameter (circle) or side (square) of a spot, in µm.
    grid
        Arrangement of the spots: ``hex`` (Visium), ``square`` (ST arrays, bins) or ``none``.
    mpp
        µm per pixel of the image the slide's coordinates refer to, and `mpp_source`, where that came from.
    px_per_published_px
        Pixels of the image at hand per pixel of the published one: below 1 where it is a reduced copy.
    has_regions
        Whether spots are annotated with regions (`obs["region"]`), as protocols that test agreement with them ask.
    has_image, image_missing
        Whether the image is here and, if not, why; `folds` never use slides without an image.
    """

    id: str
    patient: str
    dataset: str
    image_id: str = ""
    organ: str = ""
    species: str = ""
    technology: str = ""
    spot_um: float = 100.0
    spot_shape: SpotShape = "circle"
    grid: Grid = "none"
    mpp: float | None = None
    mpp_source: str = ""
    px_per_published_px: float = 1.0
    has_regions: bool = False
    has_image: bool = True
    image_missing: str = ""
