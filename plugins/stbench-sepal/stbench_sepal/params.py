"""Parameters of `sepal` and its controls, importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from stbench.models.contract import Weights
from stbench.models.patch_params import PatchParams

Operator = Literal["gcn", "graph", "sage", "gat", "gatv2", "transformer"]
Widths = tuple[int, ...]


class EncoderParams(PatchParams):
    """What stage 1 sees and how it learns, whether it stands alone or not."""

    encoder: str = Field("vit_base_patch16_224.augreg_in1k", description="registered encoder or timm model name")
    weights: Weights = Field(
        "pretrained", description="pretrained, random (flagged in every table), or a safetensors file"
    )
    pixels: int = Field(224, ge=8, description="patch side given to the encoder")
    augment: Literal["image", "batch", "none"] = Field(
        "image", description="flips and a 90° turn, each with probability 1/2, drawn for every image or once per batch"
    )
    loss_on: Literal["imputed", "measured"] = Field(
        "imputed",
        description="whether the training loss counts imputed values; genes that a slide lacks never count",
    )
    patience: int | None = Field(
        None, ge=1, description="epochs without a lower validation loss before stopping; None: never early"
    )


class VitParams(EncoderParams):
    """Parameters of `stbench_sepal.vit.Vit`."""

    deltas: bool = Field(False, description="predict the difference from the training mean")
    patch_scale: float = Field(1.0, gt=0, description="tissue side of the patch, in units of `microns`")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam")
    batch_size: int = Field(320, ge=1, description="patches per batch, at most")
    epochs: int = Field(50, ge=1, description="upper bound of epochs")

    @property
    def field_um(self) -> float:
        """Tissue side of the patch, µm."""
        return self.microns * self.patch_scale


class VitDeltaParams(VitParams):
    """Parameters of `vit-delta`: SEPAL's stage 1 alone."""

    deltas: bool = Field(True, description="predict the difference from the training mean")


class VitDeltaS7Params(VitDeltaParams):
    """Parameters of `vit-delta-s7`: stage 1 alone, seeing as far as three hops."""

    patch_scale: float = Field(7.0, gt=0, description="tissue side of the patch, in units of `microns`")


class SepalParams(EncoderParams):
    """Parameters of `stbench_sepal.model.Sepal`; ``stage1_…`` are those of the vision transformer."""

    stage1_lr: float = Field(1e-4, gt=0, description="learning rate of Adam in stage 1")
    stage1_batch_size: int = Field(320, ge=1, description="patches per batch of stage 1, at most")
    stage1_epochs: int = Field(50, ge=1, description="upper bound of epochs of stage 1")
    stage1_seed: int = Field(
        0, ge=0, description="seed of stage 1, which is trained once per fold and shared by the seeds of stage 2"
    )
    zoom: bool = Field(
        True, description="stage 2 sees the central 7/8 of the patch, enlarged, as the authors' code gives it"
    )
    neighbours: Literal["grid", "knn"] = Field(
        "grid", description="edges of one hop: 6 or 8 neighbours on the array, or the 6 nearest spots"
    )
    hops: int = Field(3, ge=1, description="hops from the centre to the edge of its graph")
    edges: Literal["mhop", "grid"] = Field(
        "mhop", description="edges inside a graph: between spots within `hops` of each other, or of one hop"
    )
    combine: Literal["concat", "sum"] = Field("concat", description="how embedding and positional code are joined")
    pre: Widths = Field((512,), description="widths of the MLP before the graph layers")
    operator: Operator = Field("gcn", description="graph layer")
    graph: Widths = Field((256, 128), description="widths of the graph layers")
    pooling: Literal["sag", "mean"] = Field(
        "sag", description="one node, chosen by SAGPooling with ratio 1, or the mean of all"
    )
    post: Widths | None = Field(
        (),
        description="widths of the MLP after pooling, before a layer to the genes; None: a graph layer ends in genes",
    )
    lr: float = Field(1e-5, gt=0, description="learning rate of Adam in stage 2")
    batch_size: int = Field(256, ge=1, description="graphs per batch of stage 2, at most")
    epochs: int = Field(300, ge=1, description="upper bound of epochs of stage 2")

    @model_validator(mode="after")
    def _has_a_graph_layer(self) -> SepalParams:
        if self.post is not None and not self.graph:
            raise ValueError("no graph layer: give widths in `graph`, or post=null to end in one")
        return self

    def stage1(self) -> VitParams:
        """Parameters of stage 1, equal to those of `vit-delta` where the two agree."""
        shared = self.model_dump(include=set(EncoderParams.model_fields) - {"batch_size", "epochs"})
        return VitDeltaParams(**shared, lr=self.stage1_lr, batch_size=self.stage1_batch_size, epochs=self.stage1_epochs)
