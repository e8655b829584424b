"""Which spots a spot gathers from, and what that gives."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from stbench.slides import Slide
from stbench.slides.neighbours import knn_edges

REACH = 1.5
"""Times the median distance of nearest spots, beyond which a spot is no neighbour: holes and borders of a section."""


class Neighbourhoods(NamedTuple):
    """Neighbours of every spot of a section, itself among them, padded to the same number.

    Attributes
    ----------
    members
        (spots, most neighbours).
    weight
        (spots, most neighbours); 0 where there is no neighbour.
    """

    members: Tensor
    weight: Tensor

    def gather(self, features: Tensor) -> Tensor:
        """Weighted sum over each spot's neighbours, of features of the whole section, (all spots, features)."""
        gathered: Tensor = embedding_bag(self.members, features, per_sample_weights=self.weight, mode="sum")
        return gathered

    def of(self, chosen: Tensor) -> Neighbourhoods:
        """Those of some spots, (b,)."""
        return Neighbourhoods(self.members[chosen], self.weight[chosen])

    def within(self, chosen: Tensor) -> Tensor:
        """Weights between some spots, (b,) → (b, b): row, what it gathers from."""
        same = self.members[chosen][:, :, None] == chosen  # (b, neighbours, b)
        return (same * self.weight[chosen][:, :, None]).sum(1)

    def to(self, device: str) -> Neighbourhoods:
        """The same on a device."""
        return Neighbourhoods(self.members.to(device), self.weight.to(device))


def neighbourhoods(slide: Slide, k: int, norm: Literal["sum", "sym"], graph: bool = True) -> Neighbourhoods:
    """Join each spot with itself and the `k` nearest that are not across a hole; whoever is joined is joined both ways.

    Parameters
    ----------
    norm
        ``sum``: all weights are 1; ``sym``: 1/√(dᵢdⱼ), d counting a spot's neighbours and itself.
    graph
        False joins each spot with itself alone.
    """
    n = slide.n_spots
    places = slide.centers_px
    joined = np.zeros((2, 0), np.int64)
    if graph and n > 1:
        joined = knn_edges(places, k)
        distance = np.linalg.norm(places[joined[0]] - places[joined[1]], axis=1)
        nearest = np.full(n, np.inf)
        np.minimum.at(nearest, joined[0], distance)
        joined = joined[:, distance <= REACH * np.median(nearest)]
    own = np.tile(np.arange(n), (2, 1))
    source, target = np.unique(np.concatenate([joined, joined[::-1], own], axis=1), axis=1)
    degree = np.bincount(source, minlength=n)
    slot = np.arange(len(source)) - np.repeat(np.cumsum(degree) - degree, degree)  # `source` is sorted
    index = np.zeros((n, degree.max()), np.int64)
    weight = np.zeros(index.shape, np.float32)
    index[source, slot] = target
    weight[source, slot] = 1.0 if norm == "sum" else 1 / np.sqrt(degree[source] * degree[target])
    return Neighbourhoods(torch.from_numpy(index), torch.from_numpy(weight))
