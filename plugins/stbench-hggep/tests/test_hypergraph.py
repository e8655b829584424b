from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from stbench_hggep.hypergraph import HypergraphAssociation, coded_hyperedges, nearest_hyperedges
from stbench_hggep.model import near_edges

Memberships = set[tuple[int, int]]
"""(spot, hyperedge)."""


def section(n: int, dim: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features and places of spots in the corner of a grid."""
    generator = torch.Generator().manual_seed(seed)
    side = math.ceil(math.sqrt(n))
    place = torch.tensor([divmod(i, side) for i in range(n)], dtype=torch.float32)
    return torch.randn(n, dim, generator=generator) + 100, place


def shares(points: list[list[float]], i: int) -> list[float]:
    """Distances of a point to all, divided by their sum."""
    distance = [math.dist(points[i], other) for other in points]
    total = sum(distance)
    return [d / total if total else 0.0 for d in distance]


def slow_nearest(features: Tensor, place: Tensor, k: int) -> Memberships:
    """Spot by spot: its hyperedge holds it and the k with the smallest sum of both shares."""
    members = set()
    for i in range(len(features)):
        both = zip(shares(features.tolist(), i), shares(place.tolist(), i), strict=True)
        score = [f + p for f, p in both]
        others = sorted((j for j in range(len(score)) if j != i), key=lambda j: score[j])
        members |= {(j, i) for j in [i, *others[:k]]}
    return members


def slow_coded(features: Tensor, edges: Tensor, k: int) -> Memberships:
    """Spot by spot: it joins the hyperedges of the k + 1 with the largest share of adjacency plus share of distance."""
    members = set()
    for i in range(len(features)):
        near = edges[1][edges[0] == i].tolist()
        score = [share + (1 / len(near) if j in near else 0) for j, share in enumerate(shares(features.tolist(), i))]
        members |= {(i, j) for j in sorted(range(len(score)), key=lambda j: -score[j])[: k + 1]}
    return members


def memberships(hyperedges: Tensor) -> Memberships:
    found = list(zip(*hyperedges.tolist(), strict=True))
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 30])
@pytest.mark.parametrize("k", [0, 3])
def test_the_papers_hyperedges_equal_a_double_loop(n: int, k: int) -> None:
    features, place = section(n)

    hyperedges = nearest_hyperedges(features, place, k)

    assert memberships(hyperedges) == slow_nearest(features, place, k)
    assert hyperedges.shape[1] == n * min(n, k + 1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 30])
@pytest.mark.parametrize("neighbours", [2, 4, 8])
def test_the_codes_hyperedges_equal_a_double_loop(n: int, neighbours: int) -> None:
    features, place = section(n)
    edges = torch.from_numpy(near_edges(place.double().numpy(), neighbours))

    assert memberships(coded_hyperedges(features, edges, 3)) == slow_coded(features, edges, 3)


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_isolated_spots_have_hyperedges_too(variant: str) -> None:
    features, place = section(9)
    place[4] += 50
    edges = torch.from_numpy(near_edges(place.double().numpy(), 4))
    assert 4 not in edges

    if variant == "paper":
        assert memberships(nearest_hyperedges(features, place, 3)) == slow_nearest(features, place, 3)
    else:
        found = memberships(coded_hyperedges(features, edges, 3))
        assert found == slow_coded(features, edges, 3)
        assert sum(spot == 4 for spot, _ in found) == 4


def test_spots_that_look_alike_are_joined_by_place() -> None:
    _, place = section(9)

    hyperedges = nearest_hyperedges(torch.ones(9, 5), place, 3)

    corner = {spot for spot, hyperedge in memberships(hyperedges) if hyperedge == 0}
    assert {0, 1, 3} < corner
    assert torch.isfinite(hyperedges.float()).all()


def test_small_differences_between_large_features_count() -> None:
    features, place = section(40, dim=64)

    large = nearest_hyperedges(features + 1e4, place, 3)

    assert len(memberships(large) & memberships(nearest_hyperedges(features, place, 3))) > 0.95 * large.shape[1]


def test_the_order_of_the_spots_does_not_matter() -> None:
    features, place = section(30)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    back = order.tolist()

    shuffled = memberships(nearest_hyperedges(features[order], place[order], 3))

    assert {(back[i], back[j]) for i, j in shuffled} == memberships(nearest_hyperedges(features, place, 3))


def test_neighbours_of_the_code_are_near_on_the_array() -> None:
    place = np.array([[0.0, 0], [0, 1], [0, 2], [0, 4], [1, 0], [9, 9]])

    edges = set(zip(*near_edges(place, 4).tolist(), strict=True))

    assert {j for i, j in edges if i == 0} == {1, 2, 4}
    assert {j for i, j in edges if i == 3} == {2}
    assert not {j for i, j in edges if i == 5}


def slow_convolution(x: Tensor, members: Memberships, weight: Tensor, bias: Tensor) -> Tensor:
    """Every hyperedge is the mean of its spots, every spot the mean of its hyperedges."""
    x = x @ weight.T
    mean = {}
    for j in {hyperedge for _, hyperedge in members}:
        mean[j] = torch.stack([x[i] for i, hyperedge in members if hyperedge == j]).mean(0)
    rows = []
    for i in range(len(x)):
        mine = [mean[j] for spot, j in members if spot == i]
        rows.append(torch.stack(mine).mean(0) if mine else torch.zeros_like(x[0]))
    return torch.stack(rows) + bias


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_the_association_equals_means_over_hyperedges(variant: str) -> None:
    torch.manual_seed(0)
    features, place = section(12)
    features, place = features.double(), place.double()
    edges = torch.from_numpy(near_edges(place.numpy(), 4))
    hyperedges = nearest_hyperedges(features, place, 3) if variant == "paper" else coded_hyperedges(features, edges, 3)
    layer = HypergraphAssociation(6, 4, dropout=0.5).double().eval()

    members = memberships(hyperedges)
    narrow = slow_convolution(features, members, layer.narrow.lin.weight, layer.narrow.bias)
    narrow = torch.nn.functional.layer_norm(narrow.relu(), (4,))
    expected = features + slow_convolution(narrow, members, layer.widen.lin.weight, layer.widen.bias)

    torch.testing.assert_close(layer(features, hyperedges), expected)


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_700_spots_cost_little_more_than_the_product_of_their_features(variant: str) -> None:
    features, place = section(700, dim=1024)
    edges = torch.from_numpy(near_edges(place.double().numpy(), 8))

    def build() -> Tensor:
        if variant == "paper":
            return nearest_hyperedges(features, place, 3)
        return coded_hyperedges(features, edges, 3)

    product = seconds(lambda: features @ features.T)

    assert seconds(build) < 3 * product  # a loop over pairs takes a hundred times as long


def seconds(work: Callable[[], Tensor]) -> float:
    """Least time of the thread, which others that share the core do not add to."""
    taken = []
    for _ in range(15):
        started = time.thread_time()
        work()
        taken.append(time.thread_time() - started)
    return min(taken)


def test_no_gradient_flows_through_the_choice() -> None:
    features, place = section(9)
    features.requires_grad_()

    assert not nearest_hyperedges(features, place, 3).requires_grad
    assert not coded_hyperedges(features, torch.tensor([[0], [1]]), 3).requires_grad
