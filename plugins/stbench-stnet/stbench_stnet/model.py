"""ST-Net as an stbench model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stbench.errors import UsageError
from stbench.models import Weights, inner_folds
from stbench.models.encoders import Encoder, load_encoder
from stbench.models.lightning_model import LightningModel
from stbench.slides import Slide
from stbench_stnet.network import StNetNetwork
from stbench_stnet.params import StNetParams

Values = NDArray[np.float64]

N_FOLDS = 4
SAMPLE = 12 * 32
"""Training patches that the channel statistics are estimated from: the authors take twelve batches of 32."""


class StNet(LightningModel[StNetParams]):
    """A DenseNet-121 fine-tuned on each spot's patch, starting from the mean expression (He et al. 2020)."""

    masked = True

    def module(self, n_genes: int) -> StNetNetwork:
        """Make the network; what it starts from comes with `start`, or from a file."""
        encoder = self._encoder("random")
        return StNetNetwork(encoder.module, encoder.n_features, n_genes, self.params)

    def start(self, network: Any, train: Sequence[Slide]) -> None:
        """Set the encoder's weights, the channel statistics, and the head to predict the training mean."""
        encoder = self._encoder(self.params.weights)
        network.encoder.load_state_dict(encoder.module.state_dict())
        estimated = self.params.normalisation == "estimated"
        network.mean, network.std = (
            torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
            for values in (self._channel_statistics(train) if estimated else (encoder.mean, encoder.std))
        )
        if self.params.head_init == "mean_bias":
            with torch.no_grad():
                network.head.weight.zero_()
                network.head.bias.copy_(torch.from_numpy(measured_mean(train)))

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train, and keep the epoch that `epoch_selection` chooses; only ``val`` looks at validation slides.

        Raises
        ------
        UsageError
            ``nested4`` with a single training patient.
        """
        if self.params.epoch_selection == "nested4":
            self.train_for(self._best_epoch(train) + 1, train)
        else:
            super().fit(train, validation if self.params.epoch_selection == "val" else ())

    def _best_epoch(self, train: Sequence[Slide]) -> int:
        """The epoch (from 0) with the lowest error over four folds of the patients."""
        if len({slide.info.patient for slide in train}) < 2:
            raise UsageError("epoch_selection=nested4 folds training patients and there is one; use val or last")
        folds = inner_folds(train, by="patient", n_folds=N_FOLDS)
        losses: list[tuple[float, ...]] = []
        for fit, held_out in folds:
            patients = ", ".join(sorted({slide.info.patient for slide in held_out}))
            self.context.report(f"st-net: inner fold {len(losses) + 1} of {len(folds)}, held out: {patients}")
            losses.append(self.train_for(self.params.epochs, fit, held_out).losses)
        n_measured = [sum(slide.measured.sum() for slide in held_out) for _, held_out in folds]
        best = best_epoch(np.array(losses), np.array(n_measured))
        self.context.report(f"st-net: epoch {best + 1} of {self.params.epochs} by inner folds")
        return best

    def _channel_statistics(self, train: Sequence[Slide]) -> tuple[Values, Values]:
        """Mean and standard deviation of each channel over all pixels of some training patches, in 0–1, (3,) each."""
        n_spots = sum(slide.n_spots for slide in train)
        chosen = np.random.default_rng(self.context.seed).permutation(n_spots)[:SAMPLE]
        patches, first = [], 0
        for slide in train:
            own = chosen[(chosen >= first) & (chosen < first + slide.n_spots)] - first
            patches.append(slide.patches(pixels=self.params.pixels, microns=self.params.field_um)[np.sort(own)])
            first += slide.n_spots
        pixels = np.concatenate(patches).reshape(-1, 3)  # (pixels of all patches, channels)
        return pixels.mean(0) / 255, pixels.std(0).clip(min=1) / 255

    def _encoder(self, weights: Weights) -> Encoder:
        return load_encoder(self.params.encoder, weights, self.context.cache_dir, pixels=self.params.pixels)


def best_epoch(losses: Values, n_measured: NDArray[np.int64]) -> int:
    """Epoch (from 0) with the lowest squared error over all held-out spots together.

    Parameters
    ----------
    losses
        Mean squared error of each fold after each epoch, (folds, epochs).
    n_measured
        Values each fold's mean is over, (folds,): a fold of more spots counts for more.
    """
    pooled = n_measured @ losses  # (epochs,)
    return int(np.where(np.isnan(pooled), np.inf, pooled).argmin())


def measured_mean(slides: Sequence[Slide]) -> NDArray[np.float32]:
    """Mean of each gene over the spots it was measured in, (genes,); 0 where there are none."""
    total = sum(np.where(slide.measured, slide.target, 0).sum(0, dtype=np.float64) for slide in slides)
    n_measured = sum(slide.measured.sum(0) for slide in slides)
    return np.asarray(total / np.maximum(n_measured, 1), np.float32)
