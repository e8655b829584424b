"""Contrastive alignment of two views of a spot, its image and its expression, in one space."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax


class ProjectionHead(nn.Module):
    """Into the common space: a linear layer, and a second one with GELU and dropout added to it; normalised.

    Parameters
    ----------
    n_features
        Width of what is projected.
    dim
        Width of the common space.
    """

    def __init__(self, n_features: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(n_features, dim)
        self.refine = nn.Sequential(nn.GELU(), nn.Linear(dim, dim), nn.Dropout(dropout))
        self.normalise = nn.LayerNorm(dim)

    def forward(self, features: Tensor) -> Tensor:
        """(spots, n_features) → (spots, dim)."""
        projected = self.project(features)
        embedded: Tensor = self.normalise(projected + self.refine(projected))
        return embedded


def soft_target_loss(expression: Tensor, image: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross entropy of the similarities across the views with those inside the views, in both directions.

    Spots that look alike or express alike are no negatives of each other: the target of a spot is the softmax of
    the mean of its similarities in the two views (BLEEP, ST-GCHB). Gradient flows through the targets too, and the
    second direction takes the transposed targets as they are, whose rows do not sum to 1, as the authors of both do.

    Parameters
    ----------
    expression, image
        Embeddings of the same spots, (spots, dim).
    temperature
        What similarities are divided by, in logits and targets (one class of BLEEP's code multiplies the targets').
    """
    # similarities reach hundreds, where bfloat16 knows no halves
    with torch.autocast(image.device.type, enabled=False):
        expression, image = expression.float(), image.float()
        logits = expression @ image.T / temperature
        within = (image @ image.T + expression @ expression.T) / 2
        target = (within / temperature).softmax(-1)
        return (_cross_entropy(logits, target) + _cross_entropy(logits.T, target.T)) / 2


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return -(target * log_softmax(logits, -1)).sum(-1).mean()
