"""From the nodes of each graph to one vector per graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import SAGPooling, global_mean_pool


class TopNode(nn.Module):
    """SAGPooling with the integer ratio 1, which keeps exactly one node per graph, weighted by tanh of its score.

    Parameters and arithmetic are those of `torch_geometric.nn.SAGPooling`. tanh saturates: where several nodes tie,
    that operator leaves the choice to an unstable sort; here the highest score before tanh wins, then the first node.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = SAGPooling(channels, ratio=1)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, n_graphs: int) -> Tensor:
        """(nodes, channels) → (graphs, channels)."""
        weight = self.pool.select.weight  # (1, 1): its sign decides which end of the scores is high
        score = (self.pool.gnn(x, edge_index) * weight).squeeze(-1).float() / weight.norm()  # (nodes,)
        with torch.no_grad():
            best = score.new_full((n_graphs,), -torch.inf).scatter_reduce(0, batch, score, "amax")
            number = torch.arange(len(score), device=score.device)
            candidates = torch.where(score == best[batch], number, len(score))
            first = candidates.new_full((n_graphs,), len(score) - 1).scatter_reduce(0, batch, candidates, "amin")
        chosen: Tensor = x[first] * score[first].tanh()[:, None]
        return chosen


class MeanOfNodes(nn.Module):
    """The mean over all nodes of a graph."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, n_graphs: int) -> Tensor:
        """(nodes, channels) → (graphs, channels)."""
        pooled: Tensor = global_mean_pool(x, batch, n_graphs)
        return pooled
