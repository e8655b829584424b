"""Parameters of `ridge`, importable without torch."""

from __future__ import annotations

from pydantic import Field

from stbench.models.contract import Params, Weights


class RidgeParams(Params):
    """Parameters of `stbench.models.ridge.Ridge`."""

    encoder: str = Field("resnet50", description="registered encoder or timm model name")
    weights: Weights = Field(
        "pretrained", description="pretrained, random (flagged in every table), or a safetensors file"
    )
    pixels: int = Field(224, ge=8, description="patch side given to the encoder")
    microns: float = Field(112.0, gt=0, description="tissue side of a patch, µm")
    n_components: int = Field(256, ge=1, description="principal components kept")
    alpha: float | None = Field(None, gt=0, description="ridge penalty; None: chosen by inner folds")
