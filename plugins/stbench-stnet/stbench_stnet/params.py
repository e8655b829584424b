"""Parameters of `st-net`, importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from stbench.models import PatchParams, Weights

LossReduction = Literal["sum_batch", "mean"]


class StNetParams(PatchParams):
    """Parameters of `stbench_stnet.model.StNet`."""

    encoder: str = Field(
        "densenet121.tv_in1k", description="timm model or registered encoder; all of it is trained with the head"
    )
    weights: Weights = Field(
        "pretrained", description="what training starts from: pretrained, random (flagged), or a safetensors file"
    )
    pixels: int = Field(224, ge=8, description="patch side given to the encoder")
    microns: float = Field(150.0, gt=0, description="tissue side of a patch, µm; the paper's 224 px")
    normalisation: Literal["estimated", "imagenet"] = Field(
        "estimated", description="channel mean and deviation: of training patches, or those the encoder comes with"
    )
    head_init: Literal["mean_bias", "default"] = Field(
        "mean_bias", description="start the linear head at the training mean of every gene, or at random"
    )
    loss_reduction: LossReduction = Field(
        "sum_batch", description="squared error averaged over genes and summed over the batch, or averaged over both"
    )
    tta: Literal["d4", "none"] = Field(
        "d4", description="predict the mean over a patch's 8 flips and turns, or the patch as it is"
    )
    lr: float = Field(1e-6, gt=0, description="learning rate of SGD, for the loss as it is reduced")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    batch_size: int = Field(32, ge=1, description="patches per batch, at most")
    epochs: int = Field(50, ge=1, description="upper bound of epochs")
    patience: int | None = Field(
        None, ge=1, description="epochs without a lower validation loss before stopping; None: never early"
    )
    epoch_selection: Literal["val", "nested4", "last"] = Field(
        "val",
        description="keep the epoch with the lowest validation loss (the last without validation slides), the one with "
        "the lowest error over four folds of the training patients, or the last",
    )

    @model_validator(mode="after")
    def _nested_folds_run_all_epochs(self) -> StNetParams:
        if self.epoch_selection == "nested4" and self.patience is not None:
            raise ValueError("nested4 compares all epochs of all folds; leave patience at None")
        return self
