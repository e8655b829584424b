"""The network of ST-Net, its loss and its training."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn

from stbench.models.augment import flip_and_turn, symmetries
from stbench.models.patch_batches import Batch
from stbench_stnet.params import LossReduction, StNetParams


class StNetNetwork(lightning.LightningModule):
    """Normalised patch → encoder → one linear layer.

    Parameters
    ----------
    encoder
        (b, 3, side, side) → (b, n_features); trained.
    n_features, n_genes
        Width of the linear layer's input and output.
    """

    mean: Tensor  # (3, 1, 1), of RGB in 0–1
    std: Tensor

    def __init__(self, encoder: nn.Module, n_features: int, n_genes: int, params: StNetParams) -> None:
        super().__init__()
        self.encoder = encoder.train().requires_grad_(True)  # batch statistics and all
        self.head = nn.Linear(n_features, n_genes)
        self.params = params
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.register_buffer("std", torch.ones(3, 1, 1))

    def genes(self, images: Tensor) -> Tensor:
        """Predict images as they are, (b, 3, side, side) in 0–1 → (b, genes)."""
        genes: Tensor = self.head(self.encoder((images - self.mean) / self.std))
        return genes.float()

    def forward(self, images: Tensor) -> Tensor:
        """Predict, (b, 3, side, side) in 0–1 → (b, genes): the mean over the images' symmetries unless ``tta=none``."""
        if self.params.tta == "none":
            return self.genes(images)
        return torch.stack([self.genes(view) for view in symmetries(images)]).mean(0)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of one batch, each image flipped and turned at random."""
        images, target, measured = batch
        genes = self.genes(flip_and_turn(images))
        return squared_error(genes, target, measured, self.params.loss_reduction)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the error of what would be predicted; over an epoch, the mean over all measured values."""
        images, target, measured = batch
        error = squared_error(self(images), target, measured, "mean")
        self.log("val_loss", error, batch_size=max(int(measured.sum()), 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD with momentum, at a constant rate."""
        return torch.optim.SGD(self.parameters(), lr=self.params.lr, momentum=self.params.momentum)


def squared_error(prediction: Tensor, target: Tensor, measured: Tensor, reduction: LossReduction) -> Tensor:
    """Squared error over the measured values of (b, genes).

    ``sum_batch`` sums it over the batch and divides by the number of genes, as ST-Net does: the gradient grows with the
    batch, which a learning rate of 1e-6 is made for. ``mean`` divides by the number of measured values.
    """
    total = torch.where(measured, prediction - target, 0).square().sum()
    return total / (target.shape[1] if reduction == "sum_batch" else measured.sum().clamp(min=1))
