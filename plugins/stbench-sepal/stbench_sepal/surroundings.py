"""What stage 2 is trained on: graphs, embeddings and stage 1's predictions of all spots, drawn from by index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Batch

from stbench.models.contract import stack_targets
from stbench.slides import Slide
from stbench_sepal.graphs import SpotGraphs


class Surroundings(NamedTuple):
    """The spots of some slides and what surrounds them, on one device.

    Attributes
    ----------
    graphs
        One per spot.
    embedding
        (spots, features).
    base
        What stage 1 predicts, in target units, (spots, genes).
    """

    graphs: SpotGraphs
    embedding: Tensor
    base: Tensor


class GraphBatch(NamedTuple):
    """Some graphs, with what the network needs of all spots and the loss of their centres."""

    graphs: Batch
    offsets: Tensor  # (places, 2)
    embedding: Tensor  # (spots, features)
    base: Tensor  # (b, genes)
    target: Tensor  # (b, genes)
    counts: Tensor  # (b, genes) bool


class GraphBatches:
    """Batches of graphs, iterated once per epoch; they differ by at most one in size.

    Parameters
    ----------
    counts
        Which values the loss counts, slide by slide, (spots, genes) each.
    generator
        Draws another order for every epoch; the spots' own order if None.
    """

    def __init__(
        self,
        around: Surroundings,
        slides: Sequence[Slide],
        counts: Sequence[NDArray[np.bool_]],
        *,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        device = around.embedding.device
        self.around = around
        self.target = torch.from_numpy(stack_targets(slides)).to(device)  # (spots, genes)
        self.counts = torch.from_numpy(np.concatenate(counts)).to(device)  # (spots, genes)
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.target) // self.batch_size)

    def __iter__(self) -> Iterator[GraphBatch]:
        n_spots = len(self.target)
        order = torch.arange(n_spots) if self.generator is None else torch.randperm(n_spots, generator=self.generator)
        around = self.around
        for chosen in order.to(self.target.device).tensor_split(len(self)):
            yield GraphBatch(
                around.graphs.batch(chosen),
                around.graphs.offsets,
                around.embedding,
                around.base[chosen],
                self.target[chosen],
                self.counts[chosen],
            )
