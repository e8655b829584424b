"""Parameters of `st-gchb`, importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stbench.models import PREDICT_STAGE, PatchParams, Weights

Trainable = Literal["last_stage", "all", "none"]
Bandwidth = Literal["median"] | float


class GchbParams(PatchParams):
    """Parameters of `stbench_gchb.model.Gchb`; the ablations switch graph, pre-training and bottleneck off."""

    encoder: str = Field("resnet50.tv_in1k", description="timm model or registered encoder of the patches")
    weights: Weights = Field(
        "pretrained", description="what training starts from: pretrained, random (flagged), or a safetensors file"
    )
    trainable: Trainable = Field(
        "last_stage",
        description="what is trained of the encoder: a residual network's last stage, all, or nothing",
    )
    pixels: int = Field(224, ge=8, description="patch side given to the encoder")
    microns: float = Field(112.0, gt=0, description="tissue side of a patch, µm; 224 px at 0.5 µm/px")
    raw_intensities: bool = Field(
        False, description="give intensities as 0–255, as the authors' code does; otherwise normalised"
    )
    augment: bool = Field(True, description="flip and turn the patches of a batch")
    image_features: int = Field(1000, ge=1, description="features of a patch, by a linear layer on the encoder's")
    components: int = Field(256, ge=1, description="principal components of the training spots' expression, at most")
    neighbours: int = Field(6, ge=1, description="nearest spots that a spot is joined with, both ways")
    norm: Literal["sum", "sym"] = Field(
        "sum", description="what a spot gets of its neighbours and itself: their sum, or weights 1/√(dᵢdⱼ)"
    )
    graph: bool = Field(True, description="let spots see their neighbours; otherwise each sees itself alone")
    hidden: int = Field(256, ge=1, description="width of the graph layers")
    dim: int = Field(128, ge=1, description="width of the space that patches and expression share")
    dropout: float = Field(0.4, ge=0, lt=1, description="dropout of the projections")
    dgi_epochs: int = Field(50, ge=0, description="epochs of deep graph infomax before the alignment; 0: none")
    dgi_lr: float = Field(1e-3, gt=0, description="learning rate of Adam there")
    temperature: float = Field(1.0, gt=0, description="what similarities are divided by in the alignment")
    bottleneck_weight: float = Field(1.0, ge=0, description="weight of both bottlenecks; 0: alignment alone")
    beta: float = Field(25.0, ge=0, description="weight of what a bottleneck keeps against what it compresses")
    sigma: Bandwidth = Field(10.0, description="width of the Gaussian kernels, or the median distance in the batch")
    legacy_image_hsic: bool = Field(
        False, description="leave the image's second term without its normalisation, as the authors' code does"
    )
    lr: float = Field(1e-3, gt=0, description="learning rate of AdamW")
    weight_decay: float = Field(1e-3, ge=0, description="weight decay of AdamW")
    batch_size: int = Field(16, ge=2, description="spots of one section per batch, at most")
    epochs: int = Field(4, ge=1, description="upper bound of epochs")
    patience: int | None = Field(
        None, ge=1, description="epochs without a lower validation loss before stopping; None: never early"
    )
    similarity: Literal["product", "cosine"] = Field(
        "product", json_schema_extra=PREDICT_STAGE, description="what makes a training spot near"
    )
    k: int = Field(50, ge=1, json_schema_extra=PREDICT_STAGE, description="training spots looked up for a spot")
