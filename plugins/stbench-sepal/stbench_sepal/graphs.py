"""One small graph around every spot, and batches of them without a loop over spots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Batch

from stbench.slides import Slide
from stbench.slides.neighbours import hop_closure

Ints = NDArray[np.int64]
K_NEAREST = 6
CHUNK = 4096  # graphs whose candidate edges are looked at together: 37 nodes give 5.6 million


@dataclass(frozen=True)
class SpotGraphs:
    """The graphs of many spots; node 0 of each is the spot itself, the others follow by row and column.

    Attributes
    ----------
    node
        Spot that each node shows, (nodes,); the graphs one after the other.
    node_start
        First node of each graph, and the end, (graphs + 1,).
    place
        Row of `offsets` of each node, (nodes,).
    offsets
        Distinct array offsets (rows, columns) from the centre, (places, 2).
    source, target
        Edges by node number within their graph, (edges,) int16.
    edge_start
        First edge of each graph, and the end, (graphs + 1,).
    """

    node: Tensor
    node_start: Tensor
    place: Tensor
    offsets: Tensor
    source: Tensor
    target: Tensor
    edge_start: Tensor

    def __len__(self) -> int:
        return len(self.node_start) - 1

    @property
    def reach(self) -> float:
        """The largest array offset from a centre."""
        return float(self.offsets.abs().max())

    def to(self, device: str) -> SpotGraphs:
        """Return the same graphs on a device."""
        return SpotGraphs(**{name: value.to(device) for name, value in vars(self).items()})

    def batch(self, graphs: Tensor) -> Batch:
        """Join some graphs.

        Parameters
        ----------
        graphs
            (b,) numbers of graphs, on the graphs' device.

        Returns
        -------
        Batch of b graphs with `edge_index`, `batch`, `ptr`, and for each node `spot` and `place`.
        """
        nodes, n_nodes = _ranges(self.node_start, graphs)
        edges, n_edges = _ranges(self.edge_start, graphs)
        ptr = torch.nn.functional.pad(n_nodes.cumsum(0), (1, 0))
        first = ptr[:-1].repeat_interleave(n_edges, output_size=len(edges))  # of the graph an edge is in
        edge_index = torch.stack([self.source[edges], self.target[edges]]).long() + first
        numbers = torch.arange(len(graphs), device=ptr.device)
        return Batch(
            edge_index=edge_index,
            batch=numbers.repeat_interleave(n_nodes, output_size=len(nodes)),
            ptr=ptr,
            spot=self.node[nodes],
            place=self.place[nodes],
            num_nodes=len(nodes),
        )


def spot_graphs(
    slides: Sequence[Slide],
    *,
    hops: int,
    edges: Literal["mhop", "grid"] = "mhop",
    neighbours: Literal["grid", "knn"] = "grid",
) -> SpotGraphs:
    """Build the graph of every spot of some slides; spots count through the slides.

    Parameters
    ----------
    hops
        A graph holds the centre and all spots at most this many steps from it.
    edges
        ``mhop``: nodes within `hops` of each other are joined, as the authors' code does; ``grid``: direct neighbours.
    neighbours
        What a step is: to a neighbour on the array, or to one of the 6 nearest spots.
    """
    steps = _joined([slide.neighbours(neighbours, k=K_NEAREST) for slide in slides], slides)
    positions = np.concatenate([slide.array_positions for slide in slides])  # (spots, 2)
    n = len(positions)
    within = hop_closure(steps, n, hops) if hops > 1 else steps
    centre, node = _nodes(within, positions)
    node_start = np.searchsorted(centre, np.arange(n + 1))
    offsets, place = np.unique((positions[node] - positions[centre]).round(6), axis=0, return_inverse=True)
    graph, source, target = _inside(centre, node, node_start, within if edges == "mhop" else steps)
    return SpotGraphs(
        node=torch.from_numpy(node),
        node_start=torch.from_numpy(node_start),
        place=torch.from_numpy(place.reshape(-1)),
        offsets=torch.from_numpy(offsets),
        source=torch.from_numpy(source.astype(np.int16)),
        target=torch.from_numpy(target.astype(np.int16)),
        edge_start=torch.from_numpy(np.searchsorted(graph, np.arange(n + 1))),
    )


def _joined(edges: Sequence[Ints], slides: Sequence[Slide]) -> Ints:
    first = np.cumsum([0, *(slide.n_spots for slide in slides)])
    return np.concatenate([one + start for one, start in zip(edges, first[:-1], strict=True)], axis=1)


def _nodes(within: Ints, positions: NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Graph and spot of every node, graph by graph, the centre first."""
    own = np.arange(len(positions))
    centre, node = np.concatenate([np.stack([own, own]), within], axis=1)
    row, col = (positions[node] - positions[centre]).T
    order = np.lexsort((col, row, node != centre, centre))
    return centre[order], node[order]


def _inside(centre: Ints, node: Ints, node_start: Ints, edges: Ints) -> tuple[Ints, Ints, Ints]:
    """Edges between nodes of one graph: their graph, and both ends by number within it."""
    n = len(node_start) - 1
    edges = edges[:, np.lexsort((edges[1], edges[0]))]
    edge_start = np.searchsorted(edges[0], np.arange(n + 1))
    keys = centre * n + node
    by_key = np.argsort(keys)
    sorted_keys = keys[by_key]
    found = []
    for chunk in range(0, n, CHUNK):
        nodes = np.arange(node_start[chunk], node_start[min(chunk + CHUNK, n)])
        degree = np.diff(edge_start)[node[nodes]]
        tail = np.repeat(nodes, degree)  # the node an edge leaves
        nth = np.arange(len(tail)) - np.repeat(np.cumsum(degree) - degree, degree)
        head = edges[1][edge_start[node[tail]] + nth]  # the spot it leads to
        wanted = centre[tail] * n + head
        place = np.searchsorted(sorted_keys, wanted).clip(max=len(keys) - 1)
        inside = sorted_keys[place] == wanted
        tail, arrived = tail[inside], by_key[place[inside]]
        first = node_start[centre[tail]]
        found.append(np.stack([centre[tail], tail - first, arrived - first]))
    graph, source, target = np.concatenate(found, axis=1)
    return graph, source, target


def _ranges(starts: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """All indices of the chosen ranges, one after the other, and the length of each range."""
    length = starts[chosen + 1] - starts[chosen]
    total = int(length.sum())
    shift = starts[chosen] - (length.cumsum(0) - length)
    return torch.arange(total, device=starts.device) + shift.repeat_interleave(length, output_size=total), length
