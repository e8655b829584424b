"""Prediction by looking up training spots: the nearest of them, and the mean of what was measured there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from stbench.models.contract import stack_targets
from stbench.slides import Slide

PRODUCTS = 1 << 25
"""Similarities held at a time: 134 MB."""


@dataclass(frozen=True)
class Reference:
    """Training spots that are looked up.

    Attributes
    ----------
    keys
        Their embeddings, (spots, dim).
    values
        Their target, (spots, genes).
    measured
        Where it was measured, (spots, genes) bool; None: everywhere.
    """

    keys: Tensor
    values: Tensor
    measured: Tensor | None = None

    @classmethod
    def of(cls, keys: Tensor, slides: Sequence[Slide]) -> Reference:
        """Training slides, whose spots have `keys` in the order of the slides."""
        measured = np.concatenate([slide.measured for slide in slides])
        mask = None if measured.all() else torch.from_numpy(measured)
        return cls(keys.cpu(), torch.from_numpy(stack_targets(slides)), mask)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        from safetensors.torch import save_file

        tensors = {"keys": self.keys.contiguous(), "values": self.values.contiguous()}
        save_file(tensors | ({} if self.measured is None else {"measured": self.measured}), path)

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Read what `save` wrote."""
        from safetensors.torch import load_file

        return cls(**load_file(path))

    def mean(self, index: Tensor, weights: Tensor | None = None) -> Tensor:
        """Weighted mean of the measured values of chosen spots.

        A value that was not measured has no weight; a gene that was measured at none of the chosen spots has its
        mean over all spots where it was.

        Parameters
        ----------
        index
            Chosen spots of each query, (queries, k).
        weights
            Not negative, (queries, k); None: all alike.

        Returns
        -------
        (queries, genes) float32.
        """
        index = index.cpu()
        weights = torch.ones(index.shape) if weights is None else weights.float().cpu()
        if self.measured is None:
            return _sums(self.values, index, weights) / weights.sum(1, keepdim=True)
        mask = self.measured.float()
        values = torch.where(self.measured, self.values, 0)
        total = _sums(mask, index, weights)
        everywhere = values.sum(0) / mask.sum(0).clamp(min=1)
        return torch.where(total > 0, _sums(values, index, weights) / torch.where(total > 0, total, 1), everywhere)


def nearest(queries: Tensor, keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The keys with the largest dot products, exactly, on the device they are on; of unit vectors the largest cosines.

    Parameters
    ----------
    queries, keys
        (queries, dim) and (keys, dim).
    k
        How many; all keys if there are fewer.

    Returns
    -------
    Products and numbers of the keys, (queries, k) each, largest first. Never more than 134 MB of products are held.
    """
    k = min(k, len(keys))
    rows = max(1, PRODUCTS // max(1, len(keys)))
    found = [(block @ keys.T).topk(k) for block in torch.split(queries, rows)]
    return torch.cat([products for products, _ in found]), torch.cat([index for _, index in found])


def _sums(values: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows, (spots, genes), (queries, k) → (queries, genes), without gathering k rows per query."""
    sums: Tensor = embedding_bag(index, values, per_sample_weights=weights, mode="sum")
    return sums
