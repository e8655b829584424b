"""HGGEP as an stbench model: one section is one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stbench.models.array_index import array_index, n_positions
from stbench.models.encoders import load_encoder
from stbench.models.panel_counts import panel_counts, size_factors
from stbench.models.section_model import SectionModel
from stbench.models.temporary_files import temporary_files_in
from stbench.slides import Slide
from stbench.slides.neighbours import knn_edges
from stbench_hggep.params import HggepParams
from stbench_hggep.training import HggepModule

REACH = 2.0
"""Distance on the array up to which a spot is a neighbour of another in the code's hypergraph."""


class Hggep(SectionModel[HggepParams]):
    """Gradient enhancement, transformers and a hypergraph over the spots of a section (Li et al. 2024)."""

    sizes = ("n_genes", "n_positions")
    n_positions: int

    def module(self, n_genes: int) -> HggepModule:
        """Make the network around its backbone."""
        p = self.params.model_copy(update={"n_positions": self.n_positions})
        backbone = load_encoder(p.encoder, p.weights, self.context.cache_dir).module
        with temporary_files_in(self.context.work_dir):
            return HggepModule(backbone, n_genes, p)

    def measure(self, slides: Sequence[Slide]) -> None:
        """Embed as many positions as the training slides have."""
        self.n_positions = n_positions(slides, self.params.n_positions)

    def inputs(self, slide: Slide) -> tuple[Tensor, ...]:
        """Patches, indexes of the position embeddings, array positions, and neighbours for ``hypergraph=code``."""
        p = self.params
        patches = np.array(slide.patches(pixels=p.pixels, microns=p.microns))
        place = slide.array_positions
        edges = near_edges(place, p.neighbours) if p.hypergraph == "code" else np.empty((2, 0), np.int64)
        values = (patches, array_index(slide, self.n_positions, self.context.report), place.astype(np.float32), edges)
        return tuple(torch.from_numpy(value) for value in values)

    def loss_inputs(self, slide: Slide) -> tuple[Tensor, ...]:
        """Counts of the panel and the size factors of the spots, if their likelihood is part of the loss."""
        if not self.params.zinb_weight:
            return ()
        counts = panel_counts(slide)
        return torch.from_numpy(counts), torch.from_numpy(size_factors(counts))


def near_edges(place: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Directed edges from each spot to the `k` nearest on the array that are at most `REACH` away, (2, edges)."""
    edges = knn_edges(place, k)
    distance = np.linalg.norm(place[edges[0]] - place[edges[1]], axis=1)
    return edges[:, distance <= REACH + 1e-9]
