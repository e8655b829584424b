"""CBAM (Woo et al. 2018): attention over the channels, then over the places of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RATIO = 16


class ChannelAttention(nn.Module):
    """Weighs the channels by what one small network makes of their mean and of their maximum over the map."""

    def __init__(self, channels: int, ratio: int = RATIO) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            nn.Conv2d(channels, channels // ratio, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels // ratio, channels, 1, bias=False),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, h, w) → the same."""
        mean, largest = maps.mean((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        return maps * torch.sigmoid(self.shared(mean) + self.shared(largest))


class SpatialAttention(nn.Module):
    """Weighs the places by a 7×7 convolution of the mean and the maximum over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, h, w) → the same."""
        summary = torch.cat([maps.mean(1, keepdim=True), maps.amax(1, keepdim=True)], 1)  # (n, 2, h, w)
        return maps * torch.sigmoid(self.conv(summary))


def cbam(channels: int) -> nn.Sequential:
    """Channel attention, then spatial attention; (n, channels, h, w) → the same."""
    return nn.Sequential(ChannelAttention(channels), SpatialAttention())
