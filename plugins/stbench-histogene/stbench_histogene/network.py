"""The network of HisToGene: every spot of a section is one token of a transformer."""

from __future__ import annotations

from torch import Tensor, nn

from stbench.models.spot_transformer import Block, attention_of


class HisToGeneNetwork(nn.Module):
    """Linear patch embedding + position embeddings → transformer → linear gene head.

    Parameters
    ----------
    n_genes
        Genes predicted.
    pixels
        Patch side.
    n_positions
        Array rows and columns with an embedding.
    raw_intensities
        Take intensities as 0–255 instead of −1…1.
    dim, depth, heads, dim_head, mlp_dim, dropout
        The transformer.
    """

    def __init__(
        self,
        n_genes: int,
        *,
        pixels: int,
        n_positions: int,
        raw_intensities: bool,
        dim: int,
        depth: int,
        heads: int,
        dim_head: int,
        mlp_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.n_genes = n_genes
        self.raw_intensities = raw_intensities
        self.embed_patch = nn.Linear(3 * pixels * pixels, dim)
        self.embed_row = nn.Embedding(n_positions, dim)
        self.embed_col = nn.Embedding(n_positions, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(dim, heads, dim_head, mlp_dim, dropout) for _ in range(depth)))
        self.gene_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, n_genes))

    def forward(self, patches: Tensor, position: Tensor) -> Tensor:
        """Predict one section.

        Parameters
        ----------
        patches
            (spots, pixels, pixels, 3) uint8.
        position
            (spots, 2) int64: array row and column.

        Returns
        -------
        (spots, genes).
        """
        return self.mix(self.embed(patches), position)

    def embed(self, patches: Tensor) -> Tensor:
        """Embed patches, (spots, pixels, pixels, 3) uint8 → (spots, dim); of long sequences a part at a time."""
        intensity = patches.flatten(1).to(self.embed_patch.weight.dtype)  # (spots, 3 · pixels²)
        if not self.raw_intensities:
            intensity = intensity.div_(127.5).sub_(1)
        embedded: Tensor = self.embed_patch(intensity)
        return embedded

    def mix(self, embedded: Tensor, position: Tensor) -> Tensor:
        """Predict a section from its embedded patches, (spots, dim), and positions, (spots, 2) → (spots, genes)."""
        genes: Tensor = self.gene_head(self.blocks(self._tokens(embedded, position)))
        return genes

    def attention(self, embedded: Tensor, position: Tensor, spot: int) -> Tensor:
        """How much a spot attends to each in every block, (blocks, heads, spots); what is given as for `mix`."""
        return attention_of(self.blocks, self._tokens(embedded, position), spot)

    def _tokens(self, embedded: Tensor, position: Tensor) -> Tensor:
        row, col = position.unbind(1)
        tokens: Tensor = self.dropout(embedded + self.embed_row(row) + self.embed_col(col))
        return tokens
