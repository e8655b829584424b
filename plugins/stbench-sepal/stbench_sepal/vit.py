"""Stage 1 of SEPAL, and its controls: an image encoder that is trained to predict expression patch by patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stbench.models.augment import flip_and_turn
from stbench.models.encoders import Encoder, load_encoder
from stbench.models.lightning_model import LightningModel
from stbench.models.losses import masked_mse
from stbench.models.once import trained_once
from stbench.models.patch_batches import Batch
from stbench.models.seeding import seeded
from stbench.slides import Slide
from stbench_sepal.params import VitParams
from stbench_sepal.trainable import target_mean, trainable

STAGE = "sepal/1"
"""Raise the number when the same parameters would train other weights."""


class Vit(LightningModel[VitParams]):
    """An encoder, trained with its head; with `deltas` it predicts the difference from the training mean.

    A network that was trained before with the same parameters, seed and slides is taken from the cache: SEPAL's
    stage 1 is `vit-delta` with the seed `stage1_seed`.
    """

    masked = True
    network: EncoderHead
    _reused_seconds = 0.0

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train, or take what was trained on the same slides before."""

        def trained() -> dict[str, Tensor]:
            LightningModel.fit(self, train, validation)
            return self.network.state_dict()

        stage = trained_once(STAGE, self._what(), train, validation, self.context, trained)
        if stage.reused:
            self.n_genes = train[0].adata.n_vars
            with seeded(self.context):
                self.network = self.module(self.n_genes)
            self.network.load_state_dict(stage.weights)
            self._reused_seconds = stage.seconds

    def module(self, n_genes: int) -> EncoderHead:
        """Make the encoder and a head of one linear layer."""
        p = self.params
        return EncoderHead(self._encoder(), n_genes, lr=p.lr, augment=p.augment)

    def start(self, network: lightning.LightningModule, train: Sequence[Slide]) -> None:
        """Let deltas count from the training mean, imputed values included."""
        if self.params.deltas:
            network.offset.copy_(torch.from_numpy(target_mean(train)))  # type: ignore[operator]

    def counted(self, slide: Slide) -> NDArray[np.bool_]:
        """Which of a training slide's values the loss counts, (spots, genes)."""
        return trainable(slide, self.params.loss_on)

    @property
    def reused_seconds(self) -> float:
        """Training time of a network that was taken from the cache."""
        return self._reused_seconds

    def _encoder(self) -> Encoder:
        p = self.params
        return load_encoder(p.encoder, p.weights, self.context.cache_dir, pixels=p.pixels)

    def _what(self) -> dict[str, Any]:
        stated = self.params.model_dump(mode="json", exclude={"encoder", "weights"})
        return stated | {"encoder": self._encoder().identity, "seed": self.context.seed}


class EncoderHead(lightning.LightningModule):
    """Encoder → linear head, plus a fixed offset per gene.

    Parameters
    ----------
    encoder
        All of it is trained.
    n_genes
        Outputs.
    """

    offset: Tensor  # (genes,)
    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, n_genes: int, *, lr: float, augment: str) -> None:
        super().__init__()
        self.encoder = encoder.module.requires_grad_(True)
        self.head = nn.Linear(encoder.n_features, n_genes)
        self.lr = lr
        self.augment = augment
        for name, values in (("offset", [0.0] * n_genes), ("mean", encoder.mean), ("std", encoder.std)):
            self.register_buffer(name, torch.tensor(values))

    def embed(self, images: Tensor) -> Tensor:
        """(b, 3, side, side) in 0–1 → (b, features)."""
        features: Tensor = self.encoder((images - self.mean.view(3, 1, 1)) / self.std.view(3, 1, 1))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, side, side) in 0–1 → (b, genes) in target units."""
        expression: Tensor = self.head(self.embed(images)) + self.offset
        return expression

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Error over the values that count."""
        images, target, counts = batch
        if self.augment != "none":
            images = flip_and_turn(images, self.augment)  # type: ignore[arg-type]
        return masked_mse(self(images).float(), target, counts)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Error over the measured values."""
        images, target, measured = batch
        # weighted by the number of values, the mean over batches is the mean over values
        error = masked_mse(self(images).float(), target, measured)
        self.log("val_loss", error, batch_size=max(int(measured.sum()), 1))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; the authors' code ignores its momentum argument."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)
