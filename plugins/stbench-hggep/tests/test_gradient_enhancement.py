from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stbench_hggep.gradient_enhancement import DifferenceConv, GradientEnhancement

OFFSETS = [(-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)]
"""North, west, centre, east, south."""


def slow_difference(layer: DifferenceConv, images: Tensor, theta: float) -> Tensor:
    """Σ w·x over the cross less θ·Σ w times the centre, pixel by pixel; 0 beyond the edge."""
    n, channels_in, height, width = images.shape
    channels_out = len(layer.taps)
    out = torch.zeros(n, channels_out, (height + 1) // 2, (width + 1) // 2, dtype=images.dtype)
    for b in range(n):
        for o in range(channels_out):
            for y in range(0, height, 2):
                for x in range(0, width, 2):
                    total = 0.0
                    for i in range(channels_in):
                        taps = layer.taps[o, i].tolist()
                        for tap, (dy, dx) in zip(taps, OFFSETS, strict=True):
                            if 0 <= y + dy < height and 0 <= x + dx < width:
                                total += tap * float(images[b, i, y + dy, x + dx])
                        total -= theta * sum(taps) * float(images[b, i, y, x])
                    out[b, o, y // 2, x // 2] = total
    return out


@pytest.mark.parametrize("theta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("side", [6, 7])
def test_the_difference_convolution_is_its_formula(theta: float, side: int) -> None:
    torch.manual_seed(0)
    layer = DifferenceConv(3, 2, theta).double()
    images = torch.randn(2, 3, side, side, dtype=torch.float64)

    with torch.no_grad():
        torch.testing.assert_close(layer(images), slow_difference(layer, images, theta))


def test_pure_differences_do_not_see_a_plain_surface() -> None:
    layer = DifferenceConv(3, 4, theta=1.0)

    with torch.no_grad():
        response = layer(torch.full((1, 3, 9, 9), 200.0))

    torch.testing.assert_close(response[..., 1:-1, 1:-1], torch.zeros(1, 4, 3, 3), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("side", "expected"), [(112, 58), (33, 19)])
def test_the_enhanced_image_has_half_the_size_and_a_border(side: int, expected: int) -> None:
    enhanced = GradientEnhancement(0.7)(torch.rand(2, 3, side, side))

    assert enhanced.shape == (2, 3, expected, expected)
    assert 0 <= enhanced.min() <= enhanced.max() <= 6


def test_it_has_168_parameters() -> None:
    enhancement: nn.Module = GradientEnhancement(0.7)

    assert sum(p.numel() for p in enhancement.parameters()) == 168


def test_the_scale_of_the_intensities_is_nothing() -> None:
    torch.manual_seed(0)
    enhancement = GradientEnhancement(0.7).double()
    images = torch.rand(4, 3, 16, 16, dtype=torch.float64)

    torch.testing.assert_close(enhancement(255 * images), enhancement(images), rtol=0, atol=0.02)
