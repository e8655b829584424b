"""A patch-to-expression model from a LightningModule: its author writes the module, stbench everything around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

import lightning
import numpy as np
import torch
from numpy.typing import NDArray

from stbench.models.network_model import NetworkModel
from stbench.models.patch_batches import PatchBatches, image_batches
from stbench.models.patch_params import PatchParams
from stbench.models.seeding import seeded
from stbench.models.training import Trained, predict_precision, train_module
from stbench.slides import Slide

P = TypeVar("P", bound=PatchParams)


class LightningModel(NetworkModel[P]):
    """Predicts each spot from its patch with a LightningModule; subclasses say which in `module`.

    The module's ``training_step`` and ``validation_step`` get batches ``(images, target)``: (b, 3, h, w) float32 in
    0–1, and (b, genes) float32 in target units (a value that was not measured is what the protocol put in its place;
    with the class attribute ``masked`` batches are ``(images, target, counts)``, see `counted`).
    ``validation_step`` logs ``val_loss``, smaller is better: it decides which epoch is kept. ``forward`` takes images
    and returns (b, genes). Normalising and augmenting images is the module's own business.

    All training patches are kept on the device as bytes (DESIGN.md §9): 37 kB for one of 112 px.

    Examples
    --------
    ::

        class TinyCNN(LightningModel[TinyCNNParams]):  # TinyCNNParams subclasses PatchParams
            def module(self, n_genes: int) -> lightning.LightningModule:
                return CNN(n_genes, lr=self.params.lr)
    """

    pointwise: ClassVar[bool] = True
    masked: ClassVar[bool] = False

    def start(self, network: lightning.LightningModule, train: Sequence[Slide]) -> None:
        """Set what the untrained module takes from the training slides, such as their mean; nothing unless overridden.

        What it sets belongs in the module's buffers or weights, so that `save` keeps it.
        """

    def counted(self, slide: Slide) -> NDArray[np.bool_]:
        """Which of a training slide's values the loss counts, (spots, genes): the measured ones unless overridden.

        Of validation slides it is always the measured ones: the epoch is chosen by what was seen.
        """
        return slide.measured

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train; with validation slides the epoch with the lowest ``val_loss`` is kept, else the last."""
        self.train_for(self.params.epochs, train, validation)

    def train_for(self, epochs: int, train: Sequence[Slide], validation: Sequence[Slide] = ()) -> Trained:
        """Make a module and train it for at most `epochs`: what `fit` does, once or (inner folds) several times."""
        order = torch.Generator().manual_seed(self.context.seed)
        with seeded(self.context):
            self.n_genes = train[0].adata.n_vars
            self.network = self.module(self.n_genes)
            self.start(self.network, train)
            trained = train_module(
                self.network,
                self._batches(train, self.counted, order),
                self._batches(validation, _measured) if validation else None,
                self.context,
                epochs=epochs,
                patience=self.params.patience,
            )
        self.network.trainer = None  # it holds on to the training patches
        return trained

    def predict(self, slide: Slide) -> NDArray[np.float32]:
        """Predict in target units, (spots, genes)."""
        device = self.context.device
        network = self.network.to(device).eval()
        patches = slide.patches(pixels=self.params.pixels, microns=self.params.field_um)
        with seeded(self.context), torch.inference_mode(), predict_precision(self.context):
            batches = image_batches(patches, self.context.batch(self.params.batch_size), device)
            return np.concatenate([network(images).float().cpu().numpy() for images in batches])

    def _batches(
        self,
        slides: Sequence[Slide],
        counted: Callable[[Slide], NDArray[np.bool_]],
        order: torch.Generator | None = None,
    ) -> PatchBatches:
        p = self.params
        return PatchBatches(
            slides,
            pixels=p.pixels,
            microns=p.field_um,
            batch_size=p.batch_size,
            device=self.context.device,
            generator=order,
            mask=counted if self.masked else None,
        )


def _measured(slide: Slide) -> NDArray[np.bool_]:
    """Which of a slide's values were measured, (spots, genes)."""
    return slide.measured
