"""Patches and targets of many slides as batches: one uint8 tensor on the device, drawn from by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stbench.models.contract import stack_targets
from stbench.slides import Slide

Batch = tuple[Tensor, ...]
"""Images (b, 3, h, w) float32 in 0–1, target (b, genes) float32; if asked for, which values count, (b, genes) bool."""


class PatchBatches:
    """Batches over the spots of some slides, iterated once per epoch.

    The patches move to the device once, as bytes. Batches differ by at most one in size: no epoch ends with a lone
    patch, which batch normalisation cannot take.

    Parameters
    ----------
    slides
        With targets.
    pixels, microns
        Patch side, and the tissue it shows.
    batch_size
        Patches per batch, at most.
    device
        Where patches, targets and batches are.
    generator
        Draws another order for every epoch; the slides' own order if None.
    mask
        Says of a slide which values count, (spots, genes); batches then hold that, too.
    """

    def __init__(
        self,
        slides: Sequence[Slide],
        *,
        pixels: int,
        microns: float,
        batch_size: int,
        device: str,
        generator: torch.Generator | None = None,
        mask: Callable[[Slide], NDArray[np.bool_]] | None = None,
    ) -> None:
        n_spots = sum(slide.n_spots for slide in slides)
        self.patches = torch.empty((n_spots, pixels, pixels, 3), dtype=torch.uint8, device=device)
        start = 0
        for slide in slides:
            cut = slide.patches(pixels=pixels, microns=microns)
            self.patches[start : start + slide.n_spots] = torch.from_numpy(np.array(cut))
            start += slide.n_spots
        self.target = torch.from_numpy(stack_targets(slides)).to(device)  # (spots, genes)
        counts = None if mask is None else np.concatenate([mask(slide) for slide in slides])
        self.counts = None if counts is None else torch.from_numpy(counts).to(device)  # (spots, genes)
        self.batch_size = batch_size
        self.generator = generator

    def __len__(self) -> int:
        return -(-len(self.patches) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n_spots = len(self.patches)
        order = torch.arange(n_spots) if self.generator is None else torch.randperm(n_spots, generator=self.generator)
        for chosen in order.to(self.patches.device).tensor_split(len(self)):
            counts = () if self.counts is None else (self.counts[chosen],)
            yield as_images(self.patches[chosen]), self.target[chosen], *counts


def as_images(patches: Tensor) -> Tensor:
    """(b, h, w, 3) uint8 → (b, 3, h, w) float32 in 0–1."""
    return patches.permute(0, 3, 1, 2).float().div_(255)


def image_batches(patches: NDArray[np.uint8], batch_size: int, device: str) -> Iterator[Tensor]:
    """Images of all spots in order; each batch is read when needed from memory-mapped `patches`, (spots, h, w, 3)."""
    for start in range(0, len(patches), batch_size):
        batch = np.array(patches[start : start + batch_size])
        yield as_images(torch.from_numpy(batch).to(device))
