"""A model that predicts all spots of a section jointly, from a LightningModule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from stbench.models.network_model import NetworkModel
from stbench.models.section_params import SectionParams
from stbench.models.seeding import seeded
from stbench.models.training import predict_precision, train_module
from stbench.slides import Slide

P = TypeVar("P", bound=SectionParams)


class Section(NamedTuple):
    """A slide with its target: the batch that a module is given.

    Attributes
    ----------
    inputs
        What `SectionModel.inputs` returns: what ``forward`` takes.
    target
        (spots, genes) float32, in target units.
    measured
        (spots, genes) bool.
    loss_inputs
        What `SectionModel.loss_inputs` returns.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    measured: Tensor
    loss_inputs: tuple[Tensor, ...]


class SectionModel(NetworkModel[P]):
    """Predicts a section from all its spots with a LightningModule: a section is one batch and one step.

    Subclasses say which module in `module` and what it takes of a slide in `inputs`. Its ``training_step`` and
    ``validation_step`` get a `Section`; ``validation_step`` logs ``val_loss``, smaller is better, and decides which
    epoch is kept. ``forward`` takes the inputs, one argument each, and returns (spots, genes). All sections are kept on
    the device.
    """

    @abstractmethod
    def inputs(self, slide: Slide) -> tuple[Tensor, ...]:
        """What the module's ``forward`` takes of a slide, expression aside, on the CPU."""

    def loss_inputs(self, slide: Slide) -> tuple[Tensor, ...]:
        """What the loss takes of a training or validation slide beside its target; nothing unless overridden."""
        return ()

    def measure(self, slides: Sequence[Slide]) -> None:
        """Take `sizes` other than `n_genes` from all slides seen in training; nothing unless overridden."""

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train; the epoch with the lowest ``val_loss`` is kept unless `keep_last_epoch` is set."""
        p = self.params
        self.n_genes = train[0].adata.n_vars
        self.measure([*train, *validation])
        order = torch.Generator().manual_seed(self.context.seed)
        sections = [self._section(slide) for slide in train]
        held_out = [] if p.keep_last_epoch else [self._section(slide) for slide in validation]
        with seeded(self.context):
            self.network = self.module(self.n_genes)
            train_module(
                self.network,
                DataLoader(sections, batch_size=None, shuffle=True, generator=order),  # type: ignore[arg-type]
                DataLoader(held_out, batch_size=None) if held_out else None,  # type: ignore[arg-type]
                self.context,
                epochs=p.epochs,
                patience=p.patience,
            )
        self.network.trainer = None  # it holds on to the training sections

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Predict all spots of a slide jointly, (spots, genes)."""
        network = self.network.to(self.context.device).eval()
        with torch.inference_mode(), predict_precision(self.context):
            prediction: Tensor = network(*self._on_device(self.inputs(slide)))
        return prediction.float().cpu().numpy()

    def _section(self, slide: Slide) -> Section:
        target, measured = self._on_device((torch.tensor(slide.target), torch.tensor(slide.measured)))
        return Section(self._on_device(self.inputs(slide)), target, measured, self._on_device(self.loss_inputs(slide)))

    def _on_device(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(value.to(self.context.device) for value in values)
