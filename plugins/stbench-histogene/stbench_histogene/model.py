"""HisToGene as an stbench model: one section is one sequence and one batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from stbench.errors import DataError
from stbench.models import Model, Points
from stbench.models.array_index import array_index
from stbench.models.losses import masked_mse
from stbench.models.seeding import seeded
from stbench.models.training import predict_precision, train_module
from stbench.slides import Slide
from stbench_histogene.network import HisToGeneNetwork
from stbench_histogene.params import HisToGeneParams
from stbench_histogene.super_resolution import dense_grid

EMBEDDED = 1024
"""Patches embedded at a time for a prediction."""
WEIGHTS = "network.safetensors"
SHAPE = "network.json"
OUTSIDE = {"microns", "lr", "epochs", "patience", "keep_last_epoch", "super_resolution"}
"""Parameters that the network does not depend on."""


class Section(NamedTuple):
    """A slide with its target, as the network takes it."""

    patches: Tensor  # (spots, pixels, pixels, 3) uint8
    position: Tensor  # (spots, 2) int64
    target: Tensor  # (spots, genes) float32
    measured: Tensor  # (spots, genes) bool


class HisToGene(Model[HisToGeneParams]):
    """Vision transformer over all spots of a section (Pang, Su, Li 2021)."""

    network: HisToGeneNetwork
    _fine: Points | None = None

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train; the epoch with the lowest validation loss is kept unless `keep_last_epoch` is set."""
        order = torch.Generator().manual_seed(self.context.seed)
        sections = [self._section(slide) for slide in train]
        held_out = [] if self.params.keep_last_epoch else [self._section(slide) for slide in validation]
        with seeded(self.context):
            self.network = self._build(train[0].adata.n_vars)
            train_module(
                _Training(self.network, self.params.lr),
                DataLoader(sections, batch_size=None, shuffle=True, generator=order),  # type: ignore[arg-type]
                DataLoader(held_out, batch_size=None) if held_out else None,  # type: ignore[arg-type]
                self.context,
                epochs=self.params.epochs,
                patience=self.params.patience,
            )

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

    def _jointly(self, slide: Slide) -> NDArray[np.float32]:
        network = self.network.to(self.context.device)
        patches = slide.patches(pixels=self.params.pixels, microns=self.params.microns)
        with torch.inference_mode(), predict_precision(self.context):
            embedded = [
                network.embed(torch.from_numpy(np.array(patches[start : start + EMBEDDED])).to(self.context.device))
                for start in range(0, slide.n_spots, EMBEDDED)
            ]
            prediction: Tensor = network.mix(torch.cat(embedded), self._position(slide))
        return prediction.float().cpu().numpy()

    def save(self, folder: Path) -> None:
        """Write the weights and what their shape depends on."""
        from safetensors.torch import save_file

        save_file(self.network.cpu().state_dict(), folder / WEIGHTS)
        (folder / SHAPE).write_text(json.dumps({"n_genes": self.network.n_genes}))

    def load(self, folder: Path) -> None:
        """Restore a saved network; the parameters must be those it was trained with."""
        from safetensors.torch import load_file

        network = self._build(int(json.loads((folder / SHAPE).read_text())["n_genes"]))
        try:
            network.load_state_dict(load_file(folder / WEIGHTS))
        except RuntimeError as error:
            raise DataError(
                f"{folder / WEIGHTS} does not fit these parameters; load it with those it was fitted with"
            ) from error
        self.network = network.eval()

    @property
    def n_parameters(self) -> int:
        """Weights of the network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def _build(self, n_genes: int) -> HisToGeneNetwork:
        return HisToGeneNetwork(n_genes, **self.params.model_dump(exclude=OUTSIDE))

    def _section(self, slide: Slide) -> Section:
        target = torch.tensor(slide.target, device=self.context.device)
        measured = torch.tensor(slide.measured, device=self.context.device)
        return Section(self._patches(slide), self._position(slide), target, measured)

    def _patches(self, slide: Slide) -> Tensor:
        patches = slide.patches(pixels=self.params.pixels, microns=self.params.microns)
        return torch.from_numpy(np.array(patches)).to(self.context.device)

    def _position(self, slide: Slide) -> Tensor:
        return torch.from_numpy(array_index(slide, self.params.n_positions)).to(self.context.device)


class _Training(lightning.LightningModule):
    def __init__(self, network: HisToGeneNetwork, lr: float) -> None:
        super().__init__()
        self.network = network
        self.lr = lr

    def training_step(self, section: Section, index: int) -> Tensor:
        return self._loss(section)

    def validation_step(self, section: Section, index: int) -> None:
        # weighted by its spots, a block of a slide counts less than a whole one
        self.log("val_loss", self._loss(section), batch_size=len(section.target))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.lr)

    def _loss(self, section: Section) -> Tensor:
        prediction = self.network(section.patches, section.position)
        return masked_mse(prediction.float(), section.target, section.measured)
