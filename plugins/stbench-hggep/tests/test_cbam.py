from __future__ import annotations

import math

import torch
from torch import Tensor

from stbench_hggep.cbam import ChannelAttention, SpatialAttention, cbam


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def slow_channel(layer: ChannelAttention, maps: Tensor) -> Tensor:
    """One image and one channel at a time."""
    down, _, up = layer.shared
    out = torch.empty_like(maps)
    for b, image in enumerate(maps):
        heard = [0.0] * len(image)
        for summary in ([float(c.mean()) for c in image], [float(c.max()) for c in image]):
            hidden = [max(0.0, sum(w * s for w, s in zip(row, summary, strict=True))) for row in rows(down)]
            for c, row in enumerate(rows(up)):
                heard[c] += sum(w * h for w, h in zip(row, hidden, strict=True))
        for c, channel in enumerate(image):
            out[b, c] = channel * sigmoid(heard[c])
    return out


def rows(conv: torch.nn.Module) -> list[list[float]]:
    return conv.weight.detach().flatten(1).tolist()  # type: ignore[operator,union-attr,no-any-return]


def slow_spatial(layer: SpatialAttention, maps: Tensor) -> Tensor:
    """One place at a time; the maps are 0 beyond their edge."""
    n, _, height, width = maps.shape
    weight, bias = layer.conv.weight[0].tolist(), float(layer.conv.bias)  # type: ignore[arg-type]
    out = torch.empty_like(maps)
    for b in range(n):
        mean, largest = maps[b].mean(0), maps[b].max(0).values
        for y in range(height):
            for x in range(width):
                heard = bias
                for dy in range(-3, 4):
                    for dx in range(-3, 4):
                        if 0 <= y + dy < height and 0 <= x + dx < width:
                            heard += weight[0][dy + 3][dx + 3] * float(mean[y + dy, x + dx])
                            heard += weight[1][dy + 3][dx + 3] * float(largest[y + dy, x + dx])
                out[b, :, y, x] = maps[b, :, y, x] * sigmoid(heard)
    return out


def test_channel_attention_equals_a_slow_reference() -> None:
    torch.manual_seed(0)
    layer = ChannelAttention(8, ratio=2).double()
    maps = torch.randn(2, 8, 3, 4, dtype=torch.float64)

    with torch.no_grad():
        torch.testing.assert_close(layer(maps), slow_channel(layer, maps))


def test_spatial_attention_equals_a_slow_reference() -> None:
    torch.manual_seed(0)
    layer = SpatialAttention().double()
    maps = torch.randn(2, 5, 4, 9, dtype=torch.float64)

    with torch.no_grad():
        torch.testing.assert_close(layer(maps), slow_spatial(layer, maps))


def test_channels_come_first_then_places() -> None:
    torch.manual_seed(0)
    both = cbam(32).double()
    maps = torch.randn(2, 32, 3, 3, dtype=torch.float64)

    with torch.no_grad():
        torch.testing.assert_close(both(maps), slow_spatial(both[1], slow_channel(both[0], maps)))
