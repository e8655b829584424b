"""Stage 2 of SEPAL: a graph network that corrects what stage 1 predicts at the centre."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu
from torch_geometric.data import Batch
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GraphConv, SAGEConv, TransformerConv

from stbench_sepal.params import Operator, SepalParams, Widths
from stbench_sepal.pooling import MeanOfNodes, TopNode
from stbench_sepal.positional import positional_code

OPERATORS: dict[Operator, type[nn.Module]] = {
    "gcn": GCNConv,
    "graph": GraphConv,
    "sage": SAGEConv,
    "gat": GATConv,
    "gatv2": GATv2Conv,
    "transformer": TransformerConv,
}


class GraphNetwork(nn.Module):
    """Pre-MLP → graph layers → pooling → post-MLP, with ELU after every layer, the last one too.

    Parameters
    ----------
    n_features
        Width of an embedding.
    n_genes
        Outputs.
    params
        Widths, operator, pooling.
    reach
        The largest array offset of the training graphs.
    """

    reach: Tensor

    def __init__(self, n_features: int, n_genes: int, params: SepalParams, reach: float) -> None:
        super().__init__()
        self.combine = params.combine
        self.register_buffer("reach", torch.tensor(reach))
        width = n_features * (2 if params.combine == "concat" else 1)
        pre = (width, *params.pre)
        graph = (pre[-1], *params.graph, *(() if params.post is not None else (n_genes,)))
        post = (graph[-1], *(() if params.post is None else (*params.post, n_genes)))
        self.pre = mlp(pre)
        self.graph = nn.ModuleList(OPERATORS[params.operator](a, b) for a, b in itertools.pairwise(graph))
        self.pool = TopNode(graph[-1]) if params.pooling == "sag" else MeanOfNodes()
        self.post = mlp(post)

    def forward(self, embedding: Tensor, graphs: Batch, offsets: Tensor) -> Tensor:
        """Correct the centres.

        Parameters
        ----------
        embedding
            (spots, features), of all spots that `graphs` may refer to.
        graphs
            From `stbench_sepal.graphs.SpotGraphs.batch`.
        offsets
            (places, 2) array offsets from the centre.

        Returns
        -------
        (graphs, genes).
        """
        code = positional_code(offsets, embedding.shape[1], self.reach)  # (places, features)
        seen, placed = embedding[graphs.spot], code[graphs.place]  # (nodes, features)
        x = torch.cat([seen, placed], dim=1) if self.combine == "concat" else seen + placed
        x = self.pre(x)
        for layer in self.graph:
            x = elu(layer(x, graphs.edge_index))
        x = self.pool(x, graphs.edge_index, graphs.batch, len(graphs.ptr) - 1)
        correction: Tensor = self.post(x)
        return correction


def mlp(widths: Widths | Iterable[int]) -> nn.Sequential:
    """Linear layers through these widths, ELU after each; with one width, the identity."""
    widths = tuple(widths)
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ELU()]
    return nn.Sequential(*layers)
