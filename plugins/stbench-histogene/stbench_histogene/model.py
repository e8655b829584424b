"""HisToGene as an stbench model: one section is one sequence and one batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from stbench.errors import DataError
from stbench.models.array_index import array_index
from stbench.models.contract import Model
from stbench.models.losses import masked_mse
from stbench.models.seeding import seeded
from stbench.models.training import predict_precision, train_module
from stbench.slides import Slide
from stbench_histogene.network import HisToGeneNetwork
from stbench_histogene.params import HisToGeneParams

WEIGHTS = "network.safetensors"
SHAPE = "network.json"
TRAINING = {"microns", "lr", "epochs", "patience", "keep_last_epoch"}
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
        """Predict all spots of a slide jointly, (spots, genes)."""
        network = self.network.to(self.context.device)
        with torch.inference_mode(), predict_precision(self.context):
            prediction: Tensor = network(self._patches(slide), self._position(slide))
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
        return HisToGeneNetwork(n_genes, **self.params.model_dump(exclude=TRAINING))

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
