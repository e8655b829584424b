"""The network of HGGEP: maps of a small backbone, transformers over the spots, a hypergraph, an LSTM over it all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from stbench.models.spot_transformer import Block
from stbench_hggep.backbone import CHANNELS, Backbone
from stbench_hggep.cbam import cbam
from stbench_hggep.gradient_enhancement import GradientEnhancement
from stbench_hggep.hypergraph import HypergraphAssociation, coded_hyperedges, nearest_hyperedges
from stbench_hggep.params import HggepParams, Stage

CHUNK = 512
"""Patches that go through the backbone together at prediction."""


class HggepNetwork(nn.Module):
    """From the patches of a section to one feature vector and one prediction per spot.

    Parameters
    ----------
    shufflenet
        From `stbench_hggep.backbone.shufflenet`.
    n_genes
        Genes predicted.
    """

    def __init__(self, shufflenet: nn.Module, n_genes: int, params: HggepParams) -> None:
        super().__init__()
        p = params
        self.params = p
        self.enhance = GradientEnhancement(p.theta) if p.gradient_enhancement else HalfSize()
        self.backbone = Backbone(shufflenet, p.stages)
        self.to_token = nn.ModuleList(_to_token(stage, p) for stage in p.stages)
        self.embed_row = nn.Embedding(p.n_positions, p.dim)
        self.embed_col = nn.Embedding(p.n_positions, p.dim)
        self.transformers = nn.ModuleList(
            nn.Sequential(*(Block(p.dim, p.heads, p.dim_head, p.mlp_dim, p.dropout) for _ in range(p.depth)))
            for _ in p.stages
        )
        self.associate = (
            HypergraphAssociation(p.dim, p.hypergraph_dim, p.hypergraph_dropout) if p.hypergraph != "none" else None
        )
        self.lstm = nn.LSTM(p.dim, p.dim, num_layers=p.lstm_layers) if p.lstm_layers else None
        self.gene_head = nn.Sequential(nn.LayerNorm(p.dim), nn.Linear(p.dim, n_genes))

    def forward(self, patches: Tensor, index: Tensor, place: Tensor, edges: Tensor) -> Tensor:
        """Predict one section, (spots, genes); the arguments are those of `features`."""
        genes: Tensor = self.gene_head(self.features(patches, index, place, edges))
        return genes

    def features(self, patches: Tensor, index: Tensor, place: Tensor, edges: Tensor) -> Tensor:
        """Features of one section's spots, (spots, dim).

        Parameters
        ----------
        patches
            (spots, pixels, pixels, 3) uint8.
        index
            (spots, 2) int64: rows of the position embeddings, of array row and array column.
        place
            (spots, 2): array row and column as they are.
        edges
            (2, edges): spot and neighbour, for the hypergraph of the code.
        """
        row, col = index.unbind(1)
        position = self.embed_row(row) + self.embed_col(col)  # (spots, dim)
        tokens = self.tokens(patches)
        stages = [mix(token + position) for mix, token in zip(self.transformers, tokens, strict=True)]
        if self.associate is not None:
            joint = torch.stack(stages).sum(0)
            stages.append(self.associate(joint, self.hyperedges(joint, place, edges)))
        sequence = torch.stack(stages)  # (stages, spots, dim): the LSTM's time runs through the stages
        if self.lstm is not None:
            sequence, _ = self.lstm(sequence)
        return sequence.mean(0)

    def tokens(self, patches: Tensor) -> list[Tensor]:
        """One token per spot, (spots, dim), for each stage of the backbone; in chunks where spots are independent."""
        chunks = [patches] if self.training else torch.split(patches, CHUNK)
        per_chunk = [self._tokens(chunk) for chunk in chunks]
        return [torch.cat(tokens) for tokens in zip(*per_chunk, strict=True)]

    def hyperedges(self, features: Tensor, place: Tensor, edges: Tensor) -> Tensor:
        """Hyperedges over the spots, (2, memberships): spot, hyperedge."""
        if self.params.hypergraph == "code":
            return coded_hyperedges(features, edges, self.params.nearest)
        return nearest_hyperedges(features, place, self.params.nearest)

    def _tokens(self, patches: Tensor) -> list[Tensor]:
        # intensities 0–255: batch normalisation follows every convolution, their scale is nothing
        images = patches.permute(0, 3, 1, 2).to(self.embed_row.weight.dtype)
        maps = self.backbone(self.enhance(images))
        return [to_token(m) for to_token, m in zip(self.to_token, maps, strict=True)]


class HalfSize(nn.Module):
    """What stands for the gradient enhancement where it is left out: the image at half its size."""

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, side, side) → (n, 3, ⌈side/2⌉, ⌈side/2⌉)."""
        return avg_pool2d(images, 2, ceil_mode=True)


def _to_token(stage: Stage, params: HggepParams) -> nn.Sequential:
    """From a map of the backbone to one vector: attention, normalisation, as many channels as its places leave."""
    channels = CHANNELS[stage]
    return nn.Sequential(
        cbam(channels) if params.cbam else nn.Identity(),
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, params.dim // params.sides[stage] ** 2, 1),
        nn.Flatten(),
    )
