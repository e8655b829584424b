"""One modality: a graph layer, its pre-training by deep graph infomax, and the projection into the common space."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from stbench.models.contrastive import ProjectionHead


class Branch(nn.Module):
    """What spots have gathered from their neighbours → hidden features → the common space.

    Parameters
    ----------
    n_features
        Of a spot. As the layer is linear before its activation, gathering before or after it is the same.
    """

    def __init__(self, n_features: int, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Linear(n_features, hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.activate = nn.PReLU()
        self.discriminate = nn.Bilinear(hidden, hidden, 1)
        nn.init.xavier_uniform_(self.discriminate.weight)
        nn.init.zeros_(self.discriminate.bias)
        self.project = ProjectionHead(hidden, dim, dropout)

    def forward(self, gathered: Tensor) -> Tensor:
        """(spots, features) → (spots, hidden)."""
        hidden: Tensor = self.activate(self.mix(gathered) + self.bias)
        return hidden

    def infomax_loss(self, gathered: Tensor, shuffled: Tensor) -> Tensor:
        """Tell a section's spots from those of the same graph with features in another order (deep graph infomax).

        Both are compared with a summary of the section, the sigmoid of the mean over its spots.

        Parameters
        ----------
        gathered, shuffled
            (spots, features): what spots have gathered, of features where they belong and of shuffled ones.
        """
        real, fake = self(gathered), self(shuffled)
        summary = real.mean(0).sigmoid().expand(len(real), -1)
        scores = torch.cat([self.discriminate(real, summary), self.discriminate(fake, summary)])[:, 0]
        truth = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).to(scores)
        return binary_cross_entropy_with_logits(scores, truth)

    @property
    def of_infomax(self) -> list[nn.Parameter]:
        """Weights that pre-training changes."""
        return [p for name, p in self.named_parameters() if not name.startswith("project.")]
