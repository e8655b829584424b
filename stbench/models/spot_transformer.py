"""A pre-norm transformer whose tokens are the spots of one section."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Multi-head self-attention over the spots; queries, keys and values have no bias."""

    def __init__(self, dim: int, heads: int, dim_head: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim), nn.Dropout(dropout))

    def forward(self, tokens: Tensor) -> Tensor:
        """(spots, dim) → (spots, dim)."""
        n_spots = len(tokens)
        qkv = self.to_qkv(tokens).view(n_spots, 3, self.heads, -1)
        query, key, value = qkv.permute(1, 2, 0, 3).unsqueeze(1)  # each (1, heads, spots, dim_head)
        mixed = scaled_dot_product_attention(query, key, value)  # scaled by dim_head^-0.5
        out: Tensor = self.to_out(mixed[0].transpose(0, 1).reshape(n_spots, -1))
        return out

    def weights(self, tokens: Tensor, spot: int) -> Tensor:
        """How much one spot attends to each, (spots, dim) → (heads, spots); no matrix of all pairs is made."""
        query, key, _ = self.to_qkv(tokens).view(len(tokens), 3, self.heads, -1).unbind(1)  # (spots, heads, dim_head)
        score = torch.einsum("hd,shd->hs", query[spot], key) * key.shape[-1] ** -0.5
        weights: Tensor = score.softmax(-1)
        return weights


class Block(nn.Module):
    """Attention, then a feed-forward layer, each on normalised tokens and added to them."""

    def __init__(self, dim: int, heads: int, dim_head: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(dim), Attention(dim, heads, dim_head, dropout))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(spots, dim) → (spots, dim)."""
        tokens = tokens + self.attention(tokens)
        tokens = tokens + self.feed_forward(tokens)
        return tokens

    def attention_of(self, tokens: Tensor, spot: int) -> Tensor:
        """How much one spot attends to each, (spots, dim) → (heads, spots)."""
        normalise, attention = self.attention
        weights: Tensor = attention.weights(normalise(tokens), spot)  # type: ignore[operator]
        return weights


def attention_of(blocks: nn.Sequential, tokens: Tensor, spot: int) -> Tensor:
    """How much one spot attends to each in every block, (spots, dim) → (blocks, heads, spots).

    Parameters
    ----------
    blocks
        `Block` after `Block`, at least one.
    """
    found = []
    for block in blocks:
        found.append(block.attention_of(tokens, spot))  # type: ignore[operator]
        tokens = block(tokens)
    return torch.stack(found)
