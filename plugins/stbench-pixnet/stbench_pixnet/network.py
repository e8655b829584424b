"""The network of PixNet: a pyramid of features, a decoder that puts it together, and a linear head.

Head and enlargement to the image's size are linear, and a spot is a sum over pixels: pooling features first and
applying the head to the pooled ones gives the same value, without a map of all genes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stbench.errors import UsageError
from stbench.models.encoders import Encoder


class Pyramid(nn.Module):
    """The coarsest stages of an encoder; all of it is trained.

    Parameters
    ----------
    encoder
        A network of timm whose stages halve the image.
    levels
        Stages used.

    Attributes
    ----------
    channels, strides
        Of each level, the finest first.

    Raises
    ------
    UsageError
        The encoder has no such stages.
    """

    def __init__(self, encoder: Encoder, levels: int) -> None:
        super().__init__()
        self.network: Any = encoder.module.requires_grad_(True)
        info = getattr(self.network, "feature_info", None) or []
        every = list(getattr(info, "info", info))
        stages = every[-levels:]
        self.indices = list(range(len(every)))[-levels:]
        self.channels = [int(stage["num_chs"]) for stage in stages]
        self.strides = [int(stage["reduction"]) for stage in stages]
        halves = all(2 * fine == coarse for fine, coarse in zip(self.strides, self.strides[1:], strict=False))
        can = hasattr(self.network, "forward_intermediates") and len(self.strides) == levels and halves
        if not can or self.strides[0] % 2:
            raise UsageError(
                f"encoder {encoder.identity.partition(':')[0]} has no {levels} stages that each halve the image; take "
                "a convolutional network of timm such as resnet18, or fewer levels"
            )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(n, 3, h, w) → (n, channels, h / stride, w / stride) of each level, the finest first."""
        levels: list[Tensor] = self.network.forward_intermediates(images, indices=self.indices, intermediates_only=True)
        return levels


class FeedForward(nn.Module):
    """Two 3 × 3 convolutions beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1),
            nn.BatchNorm2d(dim),
            nn.GELU(),
            nn.Conv2d(dim, dim, 3, padding=1),
            nn.BatchNorm2d(dim),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, dim, h, w) → the same shape."""
        added: Tensor = features + self.layers(features)
        return added


class Rise(nn.Module):
    """One step of the decoder: D ← FFN(deconvolution(D) + δ · F), twice as fine."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.deconvolution = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        self.delta = nn.Parameter(torch.ones(()))
        self.feed_forward = FeedForward(dim)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(n, dim, h, w) and (n, dim, 2h, 2w) → (n, dim, 2h, 2w)."""
        finer: Tensor = self.feed_forward(self.deconvolution(coarse) + self.delta * skip)
        return finer


class PixNetNetwork(nn.Module):
    """Features of an image at the stride of the pyramid's finest level, and the head that makes genes of them.

    Attributes
    ----------
    stride
        Pixels per cell of the features.
    step
        Pixels per cell of the coarsest level: sides of images are multiples of it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, n_genes: int, *, dim: int, levels: int) -> None:
        super().__init__()
        self.pyramid = Pyramid(encoder, levels)
        self.stride, self.step = int(self.pyramid.strides[0]), int(self.pyramid.strides[-1])
        self.laterals = nn.ModuleList(nn.Conv2d(channels, dim, 1) for channels in self.pyramid.channels)
        self.decoder = nn.ModuleList(Rise(dim) for _ in range(levels - 1))
        self.head = nn.Linear(dim, n_genes)
        for name, values in (("mean", encoder.mean), ("std", encoder.std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) in 0–1 → features (n, dim, h / stride, w / stride)."""
        levels = self.pyramid((images - self.mean) / self.std)
        laterals: list[Tensor] = [lateral(level) for lateral, level in zip(self.laterals, levels, strict=True)]
        *skips, features = laterals
        for rise, skip in zip(self.decoder, reversed(skips), strict=True):
            features = rise(features, skip)
        return features

    def train(self, mode: bool = True) -> PixNetNetwork:
        """Set the mode, except for batch normalisation: a tile or two have no statistics to speak of."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self
