"""Frozen embeddings, computed once per image, encoder and patch for all folds, seeds and models."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.models.contract import Context
from stbench.models.encoders import Encoder
from stbench.slides import Slide

BATCH = 64


class Embedder:
    """Embeds slides with one frozen encoder.

    Parameters
    ----------
    encoder
        From `stbench.models.encoders.load_encoder`, or one that the model trained: its `identity` must change with
        its weights.
    pixels, microns
        Patch size given to the encoder, and the tissue it shows.
    """

    def __init__(self, encoder: Encoder, *, pixels: int, microns: float, context: Context) -> None:
        self.encoder = encoder
        self.pixels = pixels
        self.microns = microns
        self.context = context

    def __call__(self, slide: Slide) -> NDArray[np.float32]:
        """Embeddings of the slide's spots, (spots, n_features) float32."""
        if slide.source is None:
            raise DataError(f"slide {slide.info.id} has no image to embed: {slide.info.image_missing}")
        source, side_px = slide.source, self.microns / slide.mpp

        def embed(out: NDArray[np.float32]) -> None:
            self.context.report(f"embedding {slide.info.id} with {self.encoder.identity}")
            patches = source.patches(pixels=self.pixels, side_px=side_px)
            module = self.encoder.module.to(self.context.device)
            size = self.context.batch(BATCH)
            for start in range(0, len(out), size):
                batch = torch.from_numpy(np.array(patches[start : start + size])).to(self.context.device)
                with torch.inference_mode():
                    out[start : start + size] = self.encoder(batch).float().cpu().numpy()
                self.context.progress("patch", min(start + size, len(out)), len(out))
            module.cpu()

        what = ("embeddings", self.encoder.identity, self.pixels, side_px)
        embedded = source.cached(what, (self.encoder.n_features,), np.float32, embed)
        return np.asarray(embedded if slide.rows is None else embedded[slide.rows])
