"""Gradient enhancement: learnt differences between neighbouring pixels beside a plain convolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

CROSS = (1, 3, 4, 5, 7)
"""North, west, centre, east, south among the nine taps of a 3×3 kernel."""
CENTRE = 4


class DifferenceConv(nn.Module):
    """Convolution with five taps in a cross, less `theta` times the sum of the taps at the centre; stride 2, no bias.

    With `theta` 1 it sees nothing but differences from the centre, with 0 it is a plain convolution. Both terms are one
    3×3 kernel, linear in the taps.
    """

    basis: Tensor  # (5, 9): what each tap adds to the kernel

    def __init__(self, channels_in: int, channels_out: int, theta: float) -> None:
        super().__init__()
        self.taps = nn.Parameter(torch.empty(channels_out, channels_in, len(CROSS)))
        nn.init.kaiming_uniform_(self.taps, a=math.sqrt(5))  # torch's default for convolutions
        basis = torch.zeros(len(CROSS), 9)
        basis[range(len(CROSS)), CROSS] = 1
        basis[:, CENTRE] -= theta
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels_in, side, side) → (n, channels_out, ⌈side/2⌉, ⌈side/2⌉)."""
        kernel = (self.taps @ self.basis).view(*self.taps.shape[:2], 3, 3)
        return conv2d(images, kernel, stride=2, padding=1)


class GradientEnhancement(nn.Module):
    """A plain and a difference convolution side by side, mixed to three channels; halves the image.

    The mixing 1×1 convolution is padded by 1 as in the authors' code: 112 px become 58, which is what makes the
    backbone's maps the sizes that the paper states.
    """

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.plain = nn.Sequential(nn.Conv2d(3, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.ReLU6())
        self.difference = nn.Sequential(DifferenceConv(3, 3, theta), nn.BatchNorm2d(3), nn.ReLU6())
        self.mix = nn.Sequential(nn.Conv2d(6, 3, 1, padding=1), nn.BatchNorm2d(3), nn.ReLU6())

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, side, side) → (n, 3, ⌈side/2⌉ + 2, ⌈side/2⌉ + 2)."""
        enhanced: Tensor = self.mix(torch.cat([self.plain(images), self.difference(images)], 1))
        return enhanced
