"""Hypergraphs over the spots of a section, and the convolutions over them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import HypergraphConv


@torch.no_grad()
def nearest_hyperedges(features: Tensor, place: Tensor, k: int) -> Tensor:
    """One hyperedge per spot: the spot and the `k` others nearest to it in features and place.

    The distance is the sum of that between features and that between places, each divided by the sum of the spot's
    distances to all others (the paper's hypergraph).

    Parameters
    ----------
    features
        (spots, dim); no gradient flows through the choice.
    place
        (spots, 2) on the array.

    Returns
    -------
    (2, memberships): spot, hyperedge.
    """
    distance = _normalised(_distances(features)).add_(_normalised(_distances(place)))
    distance.fill_diagonal_(torch.inf)
    members = distance.topk(min(k, len(features) - 1), largest=False).indices  # (spots, k)
    own = torch.arange(len(features), device=features.device)
    members = torch.cat([own[:, None], members], 1)
    return torch.stack([members.flatten(), own.repeat_interleave(members.shape[1])])


@torch.no_grad()
def coded_hyperedges(features: Tensor, edges: Tensor, k: int) -> Tensor:
    """Each spot joins the hyperedges named after the `k` + 1 spots that it scores highest, as in the authors' code.

    The score is 1 over the number of its neighbours for these, plus the normalised distance of the features for all:
    neighbours come before other spots, the farther in features the earlier. A spot joins its own by accident only.

    Parameters
    ----------
    features
        (spots, dim); no gradient flows through the choice.
    edges
        (2, edges) directed: spot, neighbour.

    Returns
    -------
    (2, memberships): spot, hyperedge.
    """
    score = _normalised(_distances(features))
    spot, neighbour = edges
    score[spot, neighbour] += 1 / torch.bincount(spot, minlength=len(features))[spot]
    joined = score.topk(min(k + 1, len(features))).indices  # (spots, k + 1)
    spots = torch.arange(len(features), device=features.device)
    return torch.stack([spots.repeat_interleave(joined.shape[1]), joined.flatten()])


def _distances(points: Tensor) -> Tensor:
    """Euclidean distances in float32, (spots, spots); centred, as the fast way through products loses small ones."""
    points = points.float()
    points = points - points.mean(0)
    products = points @ points.T
    square = products.diagonal().clone()
    distance = products.mul_(-2).add_(square[:, None]).add_(square).clamp_(min=0).sqrt_()
    return distance.fill_diagonal_(0)


def _normalised(distance: Tensor) -> Tensor:
    """Distances of each spot, divided in place by their sum; spots that are all alike are 0 apart."""
    return distance.div_(distance.sum(1, keepdim=True).clamp_(min=torch.finfo(distance.dtype).tiny))


class HypergraphAssociation(nn.Module):
    """Two hypergraph convolutions through a narrower layer, added to what they are given."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.narrow = HypergraphConv(dim, hidden)
        self.between = nn.Sequential(nn.ReLU(), nn.LayerNorm(hidden), nn.Dropout(dropout))
        self.widen = HypergraphConv(hidden, dim)

    def forward(self, features: Tensor, hyperedges: Tensor) -> Tensor:
        """(spots, dim), (2, memberships) → (spots, dim)."""
        n_spots = len(features)  # hyperedges are named after spots, also those that nobody joined
        narrow = self.between(self.narrow(features, hyperedges, num_edges=n_spots))
        associated: Tensor = features + self.widen(narrow, hyperedges, num_edges=n_spots)
        return associated
