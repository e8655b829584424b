from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import elu
from torch_geometric.nn import SAGPooling

from stbench.testing import toy_slides
from stbench_sepal.graphs import SpotGraphs, spot_graphs
from stbench_sepal.network import OPERATORS, GraphNetwork
from stbench_sepal.params import SepalParams
from stbench_sepal.plugin import STNET, VISIUM
from stbench_sepal.pooling import TopNode
from stbench_sepal.positional import positional_code

FEATURES, GENES = 12, 6
SMALL: dict[str, Any] = {"pre": (10,), "graph": (9, 8), "hops": 2}


def network(**settings: Any) -> GraphNetwork:
    torch.manual_seed(0)
    return GraphNetwork(FEATURES, GENES, SepalParams.model_validate(SMALL | settings), reach=4.0).eval()


def graphs(folder: Path, hops: int = 2) -> SpotGraphs:
    (slide,) = toy_slides(folder, patients=1, spots=30, grid="hex")
    return spot_graphs([slide], hops=hops)


def dense_layer(layer: nn.Module, operator: str, x: Tensor, a: Tensor) -> Tensor:
    """GCN, GraphConv and SAGE of one graph as matrix products; a[i, j] is 1 where j sends to i."""
    weights = dict(layer.named_parameters())
    if operator == "gcn":
        with_self = a + torch.eye(len(a))
        scale = with_self.sum(1).rsqrt()
        return (scale[:, None] * with_self * scale) @ (x @ weights["lin.weight"].T) + weights["bias"]
    if operator == "graph":
        sent, bias, own = a @ x, weights["lin_rel.bias"], weights["lin_root.weight"]
        return sent @ weights["lin_rel.weight"].T + bias + x @ own.T
    sent = a @ x / a.sum(1).clamp(min=1)[:, None]
    return sent @ weights["lin_l.weight"].T + weights["lin_l.bias"] + x @ weights["lin_r.weight"].T


def slow_correction(net: GraphNetwork, params: SepalParams, around: SpotGraphs, embedding: Tensor, spot: int) -> Tensor:
    """The correction of one spot, written out for its graph alone."""
    one = around.batch(torch.tensor([spot]))
    a = torch.zeros(len(one.spot), len(one.spot))
    for source, target in one.edge_index.T.tolist():
        a[target, source] = 1
    code = positional_code(around.offsets[one.place], FEATURES, torch.tensor(4.0))
    joined = torch.cat([embedding[one.spot], code], 1) if params.combine == "concat" else embedding[one.spot] + code
    x = net.pre(joined)
    for layer in net.graph:
        x = elu(dense_layer(layer, params.operator, x, a))
    if params.pooling == "mean":
        pooled = x.mean(0)
    else:
        assert isinstance(net.pool, TopNode)
        scores = dense_layer(net.pool.pool.gnn, "graph", x, a).squeeze(1) * net.pool.pool.select.weight.sign().item()
        best = int(scores.argmax())
        pooled = x[best] * scores[best].tanh()
    return net.post(pooled)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"operator": "graph", "combine": "sum", "pre": (), "graph": (), "post": None},
        {"operator": "sage", "pooling": "mean", "post": (7,)},
        {"operator": "graph", "pooling": "mean"},
    ],
)
def test_a_batch_equals_spots_one_by_one(settings: dict[str, Any], tmp_path: Path) -> None:
    params = SepalParams.model_validate(SMALL | settings)
    net, around = network(**settings), graphs(tmp_path)
    embedding = torch.randn(30, FEATURES)

    together = net(embedding, around.batch(torch.arange(30)), around.offsets)

    alone = torch.stack([slow_correction(net, params, around, embedding, spot) for spot in range(30)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_every_operator_corrects_every_gene(operator: str, tmp_path: Path) -> None:
    net, around = network(operator=operator), graphs(tmp_path)
    embedding = torch.randn(30, FEATURES)

    correction = net(embedding, around.batch(torch.arange(30)), around.offsets)
    correction.square().sum().backward()

    assert correction.shape == (30, GENES)
    assert (correction > -1).all()  # ELU comes last
    assert all(layer.weight.grad.abs().sum() > 0 for layer in net.pre if isinstance(layer, nn.Linear))


@pytest.mark.parametrize(("preset", "n_parameters"), [(VISIUM, 984_450), (STNET, 393_986)])
def test_parameters_count_as_published(preset: dict[str, Any], n_parameters: int) -> None:
    net = GraphNetwork(768, 256, SepalParams.model_validate(preset), reach=6.0)

    assert sum(p.numel() for p in net.parameters()) == n_parameters


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_top_node_is_sagpooling_with_ratio_one(sign: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    around = graphs(tmp_path)
    batch = around.batch(torch.arange(30))
    reference, ours = SAGPooling(FEATURES, ratio=1), TopNode(FEATURES)
    with torch.no_grad():
        reference.gnn.lin_rel.weight *= 0.1  # tanh does not saturate: no ties
        reference.select.weight.fill_(0.3 * sign)
    ours.pool.load_state_dict(reference.state_dict())
    x = torch.randn(len(batch.spot), FEATURES)
    own, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()

    pooled = ours(own, batch.edge_index, batch.batch, 30)
    expected, *_ = reference(theirs, batch.edge_index, batch=batch.batch)
    pooled.square().sum().backward()
    expected.square().sum().backward()

    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(own.grad, theirs.grad)


def test_saturated_scores_are_told_apart() -> None:
    pool = TopNode(1)
    with torch.no_grad():
        for parameter in pool.parameters():
            parameter.zero_()
        pool.pool.gnn.lin_root.weight.fill_(1)  # the score is the node's own value
        pool.pool.select.weight.fill_(1)
    no_edges = torch.empty(2, 0, dtype=torch.long)
    x = torch.tensor([[60.0], [50.0], [70.0], [90.0], [80.0], [90.0]])  # tanh of all of them is 1

    pooled = pool(x, no_edges, torch.tensor([0, 0, 0, 1, 1, 1]), 2)

    assert pooled.flatten().tolist() == [70.0, 90.0]


def test_of_equal_nodes_the_first_is_taken() -> None:
    pool = TopNode(2)
    x = torch.ones(4, 2, requires_grad=True)

    pool(x, torch.empty(2, 0, dtype=torch.long), torch.tensor([0, 0, 1, 1]), 2).sum().backward()

    assert x.grad is not None
    assert (x.grad.abs().sum(1) > 0).tolist() == [True, False, True, False]
