"""Parameters of `histogene`, importable without torch."""

from __future__ import annotations

from math import isqrt

from pydantic import Field, field_validator

from stbench.models import PREDICT_STAGE
from stbench.models.section_params import SectionParams


class HisToGeneParams(SectionParams):
    """Parameters of `stbench_histogene.model.HisToGene`."""

    pixels: int = Field(112, ge=1, description="patch side given to the linear patch embedding")
    microns: float = Field(
        76.8, gt=0, description="tissue side of a patch, µm; 112 px of the HER2+ images at 0.686 µm/px"
    )
    raw_intensities: bool = Field(
        False, description="give intensities as 0–255, as the authors' code does; otherwise −1…1"
    )
    dim: int = Field(1024, ge=1, description="width of a spot's token")
    depth: int = Field(8, ge=0, description="transformer blocks")
    heads: int = Field(16, ge=1, description="attention heads")
    dim_head: int = Field(64, ge=1, description="width of an attention head")
    mlp_dim: int = Field(2048, ge=1, description="width of the feed-forward layers")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout after embedding, attention and feed-forward")
    n_positions: int = Field(
        64,
        ge=1,
        description="embedded array rows and columns; more where the training slides have more",
    )
    lr: float = Field(1e-5, gt=0, description="learning rate of Adam")
    super_resolution: int = Field(
        1,
        ge=1,
        le=400,
        json_schema_extra=PREDICT_STAGE,
        description="squares per patch: 4, 9, 25, … predict all tissue in squares of that size, and spots as their "
        "mean (HisToGene*); 1: spots alone",
    )

    @field_validator("super_resolution")
    @classmethod
    def _squares_tile_a_patch(cls, value: int) -> int:
        if isqrt(value) ** 2 != value:
            raise ValueError("squares tile a patch: 1, 4, 9, 16, 25, …")
        return value
