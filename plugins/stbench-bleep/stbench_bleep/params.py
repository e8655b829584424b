"""Parameters of `bleep` and its control, importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stbench.models import PREDICT_STAGE, Params, PatchParams, Weights

Retrieval = Literal["average", "weighted", "top-1"]


class BleepParams(PatchParams):
    """Parameters of `stbench_bleep.model.Bleep`."""

    encoder: str = Field(
        "resnet50.tv_in1k", description="timm model or registered encoder; all of it is trained with the heads"
    )
    weights: Weights = Field(
        "pretrained", description="what training starts from: pretrained, random (flagged), or a safetensors file"
    )
    pixels: int = Field(224, ge=8, description="patch side given to the encoder")
    microns: float = Field(112.0, gt=0, description="tissue side of a patch, µm; the paper's 224 px at 0.5 µm/px")
    raw_intensities: bool = Field(
        False, description="give intensities as 0–255, as the code behind the paper does; otherwise normalised"
    )
    augment: bool = Field(True, description="flip and turn training patches")
    dim: int = Field(256, ge=1, description="width of the space that patches and expression share")
    dropout: float = Field(0.1, ge=0, lt=1, description="dropout of the projections")
    temperature: float = Field(1.0, gt=0, description="what similarities are divided by in the loss")
    lr: float = Field(1e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-3, ge=0, description="weight decay of AdamW")
    batch_size: int = Field(256, ge=2, description="patches per batch, at most; each has the others as negatives")
    epochs: int = Field(50, ge=1, description="upper bound of epochs")
    patience: int | None = Field(
        10, ge=1, description="epochs without a lower validation loss before stopping; None: never early"
    )
    retrieval: Retrieval = Field(
        "average",
        json_schema_extra=PREDICT_STAGE,
        description="what is predicted of the spots that were looked up: their mean, their mean weighted by nearness, "
        "or the nearest one",
    )
    k: int = Field(50, ge=1, json_schema_extra=PREDICT_STAGE, description="training spots looked up for a spot")


class RandomRetrievalParams(Params):
    """Parameters of `stbench_bleep.control.RandomRetrieval`."""

    k: int = Field(50, ge=1, description="training spots looked up for a spot")
    dim: int = Field(256, ge=1, description="width of the random embeddings")
