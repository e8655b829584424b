"""Parameters of `pixnet`, importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stbench.models import PREDICT_STAGE, Params, Weights

Footprint = Literal["own", "disk", "square"]
Aggregation = Literal["mean", "sum"]


class PixNetParams(Params):
    """Parameters of `stbench_pixnet.model.PixNet`; pixels are the model's own, `mpp` µm wide."""

    encoder: str = Field(
        "resnet18", description="registered encoder or timm model whose stages are a pyramid; all of it is trained"
    )
    weights: Weights = Field(
        "pretrained", description="what training starts from: pretrained, random (flagged), or a safetensors file"
    )
    levels: int = Field(4, ge=2, description="stages of the encoder that are used, the coarsest ones")
    dim: int = Field(512, ge=1, description="channels of the decoder")
    mpp: float = Field(0.5, gt=0, description="scale at which the model sees every slide, µm per pixel")
    footprint: Footprint = Field(
        "own", description="what a spot covers: its own shape, or the disk or square that has the same area"
    )
    aggregation: Aggregation = Field(
        "mean",
        description="of the map over a footprint: mean, or sum (the paper's) in units of the training spots' mean area",
    )
    tile_px: int = Field(512, ge=32, description="side of a training tile without its halo, pixels")
    train_halo_px: int = Field(
        128, ge=0, description="what a training tile shows beyond the footprints of its spots, pixels"
    )
    predict_tile_px: int = Field(
        1024,
        ge=32,
        json_schema_extra=PREDICT_STAGE,
        description="side of a tile at prediction without its halo, pixels",
    )
    halo_px: int = Field(
        288,
        ge=0,
        json_schema_extra=PREDICT_STAGE,
        description="the same at prediction; from 281 pixels on, tiles say what one pass over the whole slide would "
        "(resnet18)",
    )
    spots_per_tile: int = Field(
        4096, ge=1, description="spots of a training tile used in a step, at most; as many of each spot size"
    )
    tiles_per_step: int = Field(2, ge=1, description="training tiles in a step; up to 8 where their spots are few")
    augment: bool = Field(True, description="flip and turn training tiles")
    pcc_weight: float = Field(0.5, ge=0, description="weight of 1 − the genes' mean Pearson correlation over a step")
    pcc_spots: int = Field(32, ge=2, description="spots of a step below which the correlation is left out of the loss")
    lr: float = Field(5e-4, gt=0, description="learning rate of Adam")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay of Adam")
    epochs: int = Field(500, ge=1, description="upper bound of epochs")
    patience: int | None = Field(
        20, ge=1, description="epochs without a lower validation loss before stopping; None: never early"
    )
