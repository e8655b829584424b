"""How HGGEP learns: squared error, the likelihood of the counts, and agreement with its own augmented views."""

from __future__ import annotations

import math

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus
from torchvision.transforms import Compose, RandomGrayscale, RandomHorizontalFlip, RandomRotation

from stbench.models.losses import masked_mse, zinb_nll
from stbench.models.section_model import Section
from stbench_hggep.network import HggepNetwork
from stbench_hggep.params import HggepParams

MEAN_RANGE = (1e-5, 1e6)
DISPERSION_RANGE = (1e-4, 1e4)


class CountHead(nn.Module):
    """Mean, dispersion and zero inflation of each gene's counts, from a spot's features."""

    def __init__(self, dim: int, n_genes: int) -> None:
        super().__init__()
        self.log_mean = nn.Linear(dim, n_genes)
        self.dispersion = nn.Linear(dim, n_genes)
        self.zero_logits = nn.Linear(dim, n_genes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(spots, dim) → mean, dispersion and logits of the zero inflation, (spots, genes) each."""
        low, high = (math.log(bound) for bound in MEAN_RANGE)  # clamped before exp: its gradient stays finite
        mean = self.log_mean(features).clamp(low, high).exp()
        return mean, softplus(self.dispersion(features)).clamp(*DISPERSION_RANGE), self.zero_logits(features)


class Distillation(nn.Module):
    """Learns to agree with the weighted mean of the predictions of augmented views of the section.

    Each view is drawn once for all spots of the section: in grey (0.1), turned by up to 90°, mirrored (0.2). No
    gradient is stopped, on either side.
    """

    def __init__(self, dim: int, views: int) -> None:
        super().__init__()
        self.views = views
        self.weigh = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 1))
        self.augment = Compose([RandomGrayscale(0.1), RandomRotation(90), RandomHorizontalFlip(0.2)])

    def forward(self, network: HggepNetwork, prediction: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        """Squared error between the prediction and the views' joint one."""
        patches, *rest = inputs
        images = patches.permute(0, 3, 1, 2)
        seen = [network.features(self.augment(images).permute(0, 2, 3, 1), *rest) for _ in range(self.views)]
        features = torch.stack(seen)  # (views, spots, dim)
        share = self.weigh(features).softmax(0)  # (views, spots, 1)
        joint = (share * network.gene_head(features)).sum(0)
        return mse_loss(joint, prediction)


class HggepModule(lightning.LightningModule):
    """The network with what only training needs: heads of the losses that are on."""

    def __init__(self, shufflenet: nn.Module, n_genes: int, params: HggepParams) -> None:
        super().__init__()
        self.params = params
        self.network = HggepNetwork(shufflenet, n_genes, params)
        self.counts = CountHead(params.dim, n_genes) if params.zinb_weight else None
        self.distil = Distillation(params.dim, params.self_distillation) if params.self_distillation else None

    def forward(self, *inputs: Tensor) -> Tensor:
        """Predict one section, (spots, genes)."""
        genes: Tensor = self.network(*inputs)
        return genes

    def training_step(self, section: Section, index: int) -> Tensor:
        """Sum of the losses that are on."""
        features = self.network.features(*section.inputs)
        prediction = self.network.gene_head(features)
        loss = masked_mse(prediction.float(), section.target, section.measured)
        if self.counts is not None:
            counts, size = section.loss_inputs
            mean, dispersion, zero_logits = self.counts(features)
            nll = zinb_nll(counts, mean * size[:, None], dispersion, zero_logits, section.measured)
            loss = loss + self.params.zinb_weight * nll
        if self.distil is not None:
            loss = loss + self.params.distillation_weight * self.distil(self.network, prediction, section.inputs)
        return loss

    def validation_step(self, section: Section, index: int) -> None:
        """Log the squared error of what would be predicted."""
        error = masked_mse(self(*section.inputs).float(), section.target, section.measured)
        # weighted by its spots, a block of a slide counts less than a whole one
        self.log("val_loss", error, batch_size=len(section.target))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam at a constant rate: the schedule in the authors' code never fires."""
        return torch.optim.Adam(self.parameters(), lr=self.params.lr)
