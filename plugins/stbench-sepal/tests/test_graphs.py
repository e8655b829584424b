from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data

from stbench.slides import Slide
from stbench.testing import toy_slides
from stbench_sepal.graphs import SpotGraphs, spot_graphs


def slow_graph(
    slide: Slide, centre: int, hops: int, edges: str, neighbours: Literal["grid", "knn"]
) -> tuple[list[int], set[tuple[int, int]]]:
    """Nodes and edges (as spots) of one graph by powers of the adjacency matrix."""
    n = slide.n_spots
    a = np.zeros((n, n), int)
    a[tuple(slide.neighbours(neighbours, k=6))] = 1
    reached = sum(np.linalg.matrix_power(a, power) for power in range(1, hops + 1)) > 0
    np.fill_diagonal(reached, False)
    row, col = slide.array_positions.T
    others = sorted(np.flatnonzero(reached[centre]), key=lambda j: (row[j] - row[centre], col[j] - col[centre]))
    nodes = [centre, *(int(j) for j in others)]
    inside = reached if edges == "mhop" else a > 0
    return nodes, {(i, j) for i in nodes for j in nodes if inside[i, j]}


def taken_apart(graphs: SpotGraphs, number: int) -> tuple[list[int], set[tuple[int, int]]]:
    batch = graphs.batch(torch.tensor([number]))
    nodes = batch.spot.tolist()
    return nodes, {(nodes[i], nodes[j]) for i, j in batch.edge_index.T.tolist()}


@pytest.mark.parametrize("grid", ["hex", "square"])
@pytest.mark.parametrize("neighbours", ["grid", "knn"])
@pytest.mark.parametrize(("hops", "edges"), [(1, "mhop"), (3, "mhop"), (2, "grid")])
def test_graphs_are_those_of_matrix_powers(grid, neighbours, hops: int, edges, tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=45, grid=grid)
    graphs = spot_graphs([slide], hops=hops, edges=edges, neighbours=neighbours)

    assert len(graphs) == 45
    for centre in range(45):
        assert taken_apart(graphs, centre) == slow_graph(slide, centre, hops, edges, neighbours)


@pytest.mark.parametrize(("grid", "hops", "n_nodes", "reach"), [("hex", 3, 37, 6), ("square", 1, 9, 1)])
def test_inner_graphs_have_the_published_size(grid, hops: int, n_nodes: int, reach: int, tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=121, grid=grid)

    graphs = spot_graphs([slide], hops=hops)

    assert int(graphs.node_start.diff().max()) == n_nodes
    assert graphs.reach == reach


def test_a_batch_is_what_torch_geometric_makes_of_its_graphs(tmp_path: Path) -> None:
    graphs = spot_graphs(toy_slides(tmp_path, spots=30), hops=2)
    chosen = torch.tensor([41, 3, 3, 59])
    alone = [graphs.batch(one) for one in chosen.split(1)]

    joined = graphs.batch(chosen)

    expected = Batch.from_data_list(
        [Data(edge_index=one.edge_index, spot=one.spot, place=one.place, num_nodes=one.num_nodes) for one in alone]
    )
    for name in ("edge_index", "batch", "ptr", "spot", "place"):
        assert torch.equal(joined[name], expected[name]), name
    assert (joined.num_nodes, joined.num_graphs) == (expected.num_nodes, 4)
    assert joined.spot[joined.ptr[:-1]].tolist() == chosen.tolist()  # the centre is first


def test_graphs_do_not_cross_slides(tmp_path: Path) -> None:
    first, second = toy_slides(tmp_path, spots=30)

    both = spot_graphs([first, second], hops=2).batch(torch.arange(60))

    assert ((both.spot < 30) == (both.batch < 30)).all()


def test_places_are_offsets_on_the_array(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=30, grid="hex")
    graphs = spot_graphs([slide], hops=2)
    batch = graphs.batch(torch.arange(30))

    position = torch.from_numpy(slide.array_positions)
    expected = position[batch.spot] - position[batch.batch]

    torch.testing.assert_close(graphs.offsets[batch.place], expected)


def test_the_order_of_the_spots_changes_nothing(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=30)
    order = np.random.default_rng(0).permutation(30)
    straight, mixed = spot_graphs([slide], hops=2), spot_graphs([slide.subset(order)], hops=2)

    for number in range(30):
        one, other = straight.batch(torch.tensor([order[number]])), mixed.batch(torch.tensor([number]))
        assert one.spot.tolist() == [int(order[j]) for j in other.spot.tolist()]
        assert torch.equal(one.edge_index.sort(dim=1).values, other.edge_index.sort(dim=1).values)


def test_a_lone_spot_is_a_graph_of_its_own(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=30)

    batch = spot_graphs([slide.subset([7])], hops=3).batch(torch.tensor([0]))

    assert batch.spot.tolist() == [0]
    assert batch.edge_index.shape == (2, 0)
