"""A pre-norm transformer whose tokens are the spots of one section."""

from __future__ import annotations

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
