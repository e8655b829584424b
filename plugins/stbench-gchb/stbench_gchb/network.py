"""The network of ST-GCHB and its joint training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stbench.models import Context
from stbench.models.augment import flip_and_turn
from stbench.models.contrastive import soft_target_loss
from stbench.models.encoders import Encoder
from stbench.models.patch_batches import as_images, image_batches
from stbench.models.training import predict_precision
from stbench_gchb.branch import Branch
from stbench_gchb.graph import Neighbourhoods
from stbench_gchb.hsic import hsic, normalised_hsic
from stbench_gchb.params import GchbParams

ENCODED = 256
"""Patches encoded at a time without gradient."""
LAST_STAGE = "layer4."
"""What names of a residual network's last stage begin with, in torchvision and timm."""


class GraphSection(NamedTuple):
    """A section as training takes it.

    Attributes
    ----------
    patches
        (spots, pixels, pixels, 3) uint8, memory-mapped.
    neighbours
        Who gathers from whom.
    components
        Principal components of the spots' expression, (spots, components).
    """

    patches: NDArray[np.uint8]
    neighbours: Neighbourhoods
    components: Tensor


class Chosen(NamedTuple):
    """A batch: some spots of one section."""

    section: int
    spots: Tensor  # (b,)


class GchbModule(lightning.LightningModule):
    """Encoder, a branch per modality, and the losses that align them.

    A step encodes the patches of its own spots; what these gather from neighbours outside the batch was encoded at the
    start of the epoch, without gradient. The authors encode the whole section for every batch.

    Parameters
    ----------
    n_genes, n_components
        Width of the expression, and of its principal components.
    """

    mean: Tensor
    std: Tensor
    gene_mean: Tensor  # (genes,)
    loadings: Tensor  # (components, genes)

    def __init__(self, encoder: Encoder, n_genes: int, n_components: int, params: GchbParams, context: Context) -> None:
        super().__init__()
        p = params
        self.params = p
        self.context = context
        self.encoder = encoder.module.train(p.trainable != "none")
        trained = {"all": "", "last_stage": LAST_STAGE, "none": None}[p.trainable]
        for name, weights in self.encoder.named_parameters():
            weights.requires_grad_(trained is not None and name.startswith(trained))
        self.to_features = nn.Linear(encoder.n_features, p.image_features)
        self.image = Branch(p.image_features, p.hidden, p.dim, p.dropout)
        self.gene = Branch(n_components, p.hidden, p.dim, p.dropout)
        for name, values in (("mean", encoder.mean), ("std", encoder.std)):
            self.register_buffer(name, torch.tensor(values))
        self.register_buffer("gene_mean", torch.zeros(n_genes))
        self.register_buffer("loadings", torch.zeros(n_components, n_genes))
        self.sections: Sequence[GraphSection] = ()
        self.held_out: Sequence[GraphSection] = ()
        self.encoded: list[Tensor] = []
        self.held_out_gathered: list[tuple[Tensor, Tensor]] = []

    def forget(self) -> None:
        """Let go of the sections: training is over."""
        self.sections = self.held_out = ()
        self.encoded, self.held_out_gathered = [], []

    def components(self, target: Tensor) -> Tensor:
        """(spots, genes) → (spots, components)."""
        return (target - self.gene_mean) @ self.loadings.T

    def features(self, images: Tensor) -> Tensor:
        """(b, 3, side, side) in 0–1 → (b, image features)."""
        if self.params.raw_intensities:
            images = 255 * images
        else:
            images = (images - self.mean.view(3, 1, 1)) / self.std.view(3, 1, 1)
        features: Tensor = self.to_features(self.encoder(images))
        return features

    @torch.no_grad()
    def encode(self, patches: NDArray[np.uint8]) -> Tensor:
        """Features of all patches of a section as they are, (spots, image features)."""
        training = self.encoder.training
        self.encoder.eval()
        images = image_batches(patches, ENCODED, str(self.mean.device))
        with predict_precision(self.context):
            found = torch.cat([self.features(batch).float() for batch in images])
        self.encoder.train(training)
        return found

    def on_train_epoch_start(self) -> None:
        """Encode the sections as the network sees them now."""
        self.encoded = [self.encode(section.patches) for section in self.sections]

    def training_step(self, batch: Chosen, index: int) -> Tensor:
        """Alignment of a batch, and the bottlenecks of both modalities."""
        section, encoded, spots = self.sections[batch.section], self.encoded[batch.section], batch.spots
        images = as_images(torch.from_numpy(section.patches[spots.cpu().numpy()]).to(encoded.device))
        fresh = self.features(flip_and_turn(images) if self.params.augment else images).float()
        return self._loss(fresh, with_own(encoded, fresh, spots, section.neighbours), section, spots)

    def on_validation_epoch_start(self) -> None:
        """Encode the held-out sections, and let their spots gather."""
        self.held_out_gathered = [
            (s.neighbours.gather(self.encode(s.patches)), s.neighbours.gather(s.components)) for s in self.held_out
        ]

    def validation_step(self, batch: Chosen, index: int) -> None:
        """Log the alignment of a held-out section's spots."""
        images, genes = (gathered[batch.spots] for gathered in self.held_out_gathered[batch.section])
        aligned = self._aligned(self.image.project(self.image(images)), self.gene.project(self.gene(genes)))
        self.log("val_loss", aligned, batch_size=len(batch.spots))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW at a constant rate."""
        trained = [weights for weights in self.parameters() if weights.requires_grad]
        return torch.optim.AdamW(trained, lr=self.params.lr, weight_decay=self.params.weight_decay)

    def _loss(self, fresh: Tensor, gathered: Tensor, section: GraphSection, spots: Tensor) -> Tensor:
        p = self.params
        image_hidden = self.image(gathered)
        gene_hidden = self.gene(section.neighbours.of(spots).gather(section.components))
        image, gene = self.image.project(image_hidden), self.gene.project(gene_hidden)
        loss = self._aligned(image, gene)
        if p.bottleneck_weight and len(spots) > 1:
            kept = hsic if p.legacy_image_hsic else normalised_hsic
            narrow = normalised_hsic(fresh, image_hidden, p.sigma) - p.beta * kept(image, image_hidden, p.sigma)
            narrow = narrow + normalised_hsic(section.components[spots], gene_hidden, p.sigma)
            narrow = narrow - p.beta * normalised_hsic(gene, gene_hidden, p.sigma)
            loss = loss + p.bottleneck_weight * narrow
        return loss

    def _aligned(self, image: Tensor, gene: Tensor) -> Tensor:
        return soft_target_loss(gene, image, self.params.temperature)


def with_own(encoded: Tensor, fresh: Tensor, spots: Tensor, neighbours: Neighbourhoods) -> Tensor:
    """What some spots gather, their own features being fresh and all others as they were encoded, (b, features).

    Parameters
    ----------
    encoded
        (spots of the section, features), without gradient.
    fresh
        (b, features) of the spots of the batch.
    spots
        Which they are, (b,).
    """
    with torch.autocast(encoded.device.type, enabled=False):
        return neighbours.of(spots).gather(encoded) + neighbours.within(spots) @ (fresh.float() - encoded[spots])
