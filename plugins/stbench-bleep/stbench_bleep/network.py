"""The network of BLEEP: an image encoder and two projections into one space."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor

from stbench.models.augment import flip_and_turn
from stbench.models.contrastive import ProjectionHead, soft_target_loss
from stbench.models.encoders import Encoder
from stbench_bleep.params import BleepParams


class BleepModule(lightning.LightningModule):
    """Embeds patches, and the expression of spots, and learns to bring those of the same spot together.

    Parameters
    ----------
    encoder
        All of it is trained.
    n_genes
        Width of the expression.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, n_genes: int, params: BleepParams) -> None:
        super().__init__()
        self.params = params
        self.encoder = encoder.module.train().requires_grad_(True)
        self.image_head = ProjectionHead(encoder.n_features, params.dim, params.dropout)
        self.expression_head = ProjectionHead(n_genes, params.dim, params.dropout)
        for name, values in (("mean", encoder.mean), ("std", encoder.std)):
            self.register_buffer(name, torch.tensor(values))

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, side, side) in 0–1 → (b, dim)."""
        if self.params.raw_intensities:
            images = 255 * images
        else:
            images = (images - self.mean.view(3, 1, 1)) / self.std.view(3, 1, 1)
        embedded: Tensor = self.image_head(self.encoder(images))
        return embedded

    def embed_expression(self, target: Tensor) -> Tensor:
        """(b, genes) in target units → (b, dim)."""
        embedded: Tensor = self.expression_head(target)
        return embedded

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Contrastive loss of a batch."""
        images, target = batch
        return self._loss(flip_and_turn(images) if self.params.augment else images, target)

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Log the loss."""
        self.log("val_loss", self._loss(*batch), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW at a constant rate."""
        return torch.optim.AdamW(self.parameters(), lr=self.params.lr, weight_decay=self.params.weight_decay)

    def _loss(self, images: Tensor, target: Tensor) -> Tensor:
        return soft_target_loss(self.embed_expression(target), self(images), self.params.temperature)
