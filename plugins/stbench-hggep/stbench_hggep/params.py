"""Parameters of `hggep`, importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from stbench.models.contract import Weights
from stbench.models.section_params import SectionParams

Stage = Literal["stage2", "stage3", "stage4", "conv5", "pooled"]


class HggepParams(SectionParams):
    """Parameters of `stbench_hggep.model.Hggep`; the ablations of Figure 4 switch its modules off."""

    pixels: int = Field(112, ge=16, description="patch side given to the network")
    microns: float = Field(
        76.8, gt=0, description="tissue side of a patch, µm; 112 px of the HER2+ images at 0.686 µm/px"
    )
    encoder: Literal["shufflenet-v2-x0-5"] = Field("shufflenet-v2-x0-5", description="the backbone; there is one")
    weights: Weights = Field(
        "pretrained", description="of the backbone: pretrained, random (flagged in every table), or a safetensors file"
    )
    gradient_enhancement: bool = Field(
        True, description="learnt gradients of the image before the backbone; otherwise the image at half its size"
    )
    theta: float = Field(0.7, ge=0, le=1, description="share of the difference in the difference convolution")
    stages: tuple[Stage, ...] = Field(
        ("stage4", "conv5", "pooled"),
        min_length=1,
        description="outputs of the backbone that are used; the paper's text says stage3, stage4, conv5",
    )
    cbam: bool = Field(True, description="channel and spatial attention on each output of the backbone")
    n_positions: int = Field(
        64,
        ge=1,
        description="embedded array rows and columns; more where the training slides have more",
    )
    dim: int = Field(1024, ge=1, description="width of a spot's token")
    depth: int = Field(4, ge=0, description="transformer blocks for each output of the backbone; 0: no transformer")
    heads: int = Field(16, ge=1, description="attention heads")
    dim_head: int = Field(64, ge=1, description="width of an attention head")
    mlp_dim: int = Field(1024, ge=1, description="width of the feed-forward layers")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout of the transformers")
    hypergraph: Literal["paper", "code", "none"] = Field(
        "paper",
        description="a hyperedge per spot: paper: the spot and its nearest in features and place; code: as the "
        "authors' code picks them, the farthest in features among the neighbours; none: no hypergraph",
    )
    nearest: int = Field(3, ge=0, description="spots joined by a hyperedge beside its own; K in the paper")
    neighbours: int = Field(8, ge=1, description="array neighbours that hypergraph=code prefers, at most 2 apart")
    hypergraph_dim: int = Field(512, ge=1, description="width between the hypergraph convolutions")
    hypergraph_dropout: float = Field(0.5, ge=0, lt=1, description="dropout between the hypergraph convolutions")
    lstm_layers: int = Field(
        4, ge=0, description="layers of the LSTM over a spot's features; 0: their mean, without LSTM"
    )
    zinb_weight: float = Field(0.25, ge=0, description="weight of the ZINB loss of the counts; 0: squared error alone")
    self_distillation: int = Field(
        0, ge=0, description="augmented views whose joint prediction is learnt too; 0: none, 5 in the authors' code"
    )
    distillation_weight: float = Field(0.5, ge=0, description="weight of the self-distillation loss")
    lr: float = Field(1e-5, gt=0, description="learning rate of Adam")
    epochs: int = Field(400, ge=1, description="upper bound of epochs; a step is one section")

    @property
    def sides(self) -> dict[Stage, int]:
        """Side of each output of the backbone."""
        side = (self.pixels + 1) // 2 + (2 if self.gradient_enhancement else 0)
        conv1 = (side + 1) // 2
        stage2 = (conv1 + 1) // 2
        stage3 = (stage2 + 1) // 2
        stage4 = (stage3 + 1) // 2
        return {"stage2": stage2, "stage3": stage3, "stage4": stage4, "conv5": stage4, "pooled": 1}

    @model_validator(mode="after")
    def _tokens_are_whole_feature_maps(self) -> HggepParams:
        for stage in self.stages:
            if self.dim % self.sides[stage] ** 2:
                raise ValueError(
                    f"dim {self.dim} is no multiple of the {self.sides[stage] ** 2} positions that {stage} has at "
                    f"{self.pixels} pixels; take another dim or other pixels"
                )
        return self
