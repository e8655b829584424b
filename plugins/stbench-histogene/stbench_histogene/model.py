"""HisToGene as an stbench model: one section is one sequence and one batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stbench.errors import UsageError
from stbench.models import Points
from stbench.models.array_index import array_index, n_positions
from stbench.models.losses import masked_mse
from stbench.models.section_model import Section, SectionModel
from stbench.models.training import predict_precision
from stbench.slides import Slide
from stbench_histogene.network import HisToGeneNetwork
from stbench_histogene.params import HisToGeneParams
from stbench_histogene.super_resolution import dense_grid

EMBEDDED = 1024
"""Patches embedded at a time for a prediction."""
OUTSIDE = {"microns", "lr", "epochs", "patience", "keep_last_epoch", "super_resolution"}
"""Parameters that the network does not depend on."""


class HisToGene(SectionModel[HisToGeneParams]):
    """Vision transformer over all spots of a section (Pang, Su, Li 2021)."""

    sizes = ("n_genes", "n_positions")
    network: HisToGeneModule
    n_positions: int
    _fine: Points | None = None

    def module(self, n_genes: int) -> HisToGeneModule:
        """Make the network."""
        return HisToGeneModule(n_genes, self.params.model_copy(update={"n_positions": self.n_positions}))

    def measure(self, slides: Sequence[Slide]) -> None:
        """Embed as many positions as the training slides have."""
        self.n_positions = n_positions(slides, self.params.n_positions)

    def inputs(self, slide: Slide) -> tuple[Tensor, ...]:
        """Patches, (spots, pixels, pixels, 3) uint8, and indexes of the position embeddings, (spots, 2)."""
        return torch.from_numpy(np.array(self._patches(slide))), self._position(slide)

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Predict all spots of a slide jointly, (spots, genes); with super-resolution, as means of finer squares."""
        self._fine = None
        if self.params.super_resolution == 1:
            return self._jointly(slide)
        side_px = self.params.microns / slide.mpp
        grid = dense_grid(slide, side_px, self.params.super_resolution)
        self.context.report(f"{slide.info.id}: {len(grid.patches_px)} patches, {len(grid.squares_px)} squares")
        squares = grid.average(self._jointly(slide.at(grid.patches_px)))
        self._fine = Points(grid.squares_px, self.params.microns / isqrt(self.params.super_resolution), squares)
        return grid.at_spots(squares, slide.centers_px, side_px)

    def points(self, slide: Slide) -> Points | None:
        """The finer squares of the slide predicted last."""
        return self._fine

    def attention(self, slide: Slide, spot: int) -> NDArray[np.float32]:
        """How much a spot attends to each spot of its slide, (layers, heads, spots)."""
        if not self.params.depth:
            raise UsageError("histogene with depth=0 has no attention to show")
        with torch.inference_mode(), predict_precision(self.context):
            weights = self._network.attention(*self._sequence(slide), spot)
        return weights.float().cpu().numpy()

    def _jointly(self, slide: Slide) -> NDArray[np.float32]:
        with torch.inference_mode(), predict_precision(self.context):
            prediction: Tensor = self._network.mix(*self._sequence(slide))
        return prediction.float().cpu().numpy()

    @property
    def _network(self) -> HisToGeneNetwork:
        return self.network.to(self.context.device).eval().network

    def _sequence(self, slide: Slide) -> tuple[Tensor, Tensor]:
        """Embedded patches and positions; a part at a time, as thousands of patches fill gigabytes as floats."""
        device, patches = self.context.device, self._patches(slide)
        embedded = [
            self._network.embed(torch.from_numpy(np.array(patches[start : start + EMBEDDED])).to(device))
            for start in range(0, slide.n_spots, EMBEDDED)
        ]
        return torch.cat(embedded), self._position(slide).to(device)

    def _patches(self, slide: Slide) -> NDArray[np.uint8]:
        return slide.patches(pixels=self.params.pixels, microns=self.params.microns)

    def _position(self, slide: Slide) -> Tensor:
        return torch.from_numpy(array_index(slide, self.n_positions, self.context.report))


class HisToGeneModule(lightning.LightningModule):
    """The network and its training: squared error of a section a step."""

    def __init__(self, n_genes: int, params: HisToGeneParams) -> None:
        super().__init__()
        self.network = HisToGeneNetwork(n_genes, **params.model_dump(exclude=OUTSIDE))
        self.lr = params.lr

    def forward(self, patches: Tensor, position: Tensor) -> Tensor:
        """Predict a section, (spots, pixels, pixels, 3) and (spots, 2) → (spots, genes)."""
        genes: Tensor = self.network(patches, position)
        return genes

    def training_step(self, section: Section, index: int) -> Tensor:
        """Loss of a section."""
        return self._loss(section)

    def validation_step(self, section: Section, index: int) -> None:
        """Log the loss; weighted by its spots, a block of a slide counts less than a whole one."""
        self.log("val_loss", self._loss(section), batch_size=len(section.target))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam at a constant rate."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def _loss(self, section: Section) -> Tensor:
        return masked_mse(self(*section.inputs).float(), section.target, section.measured)
