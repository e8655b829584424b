from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stbench.errors import UsageError
from stbench.models.encoders import load_encoder
from stbench_pixnet.footprints import Footprints, pool
from stbench_pixnet.network import PixNetNetwork
from stbench_pixnet.params import PixNetParams


def network(encoder: str = "resnet18", dim: int = 4, n_genes: int = 3, levels: int = 4) -> PixNetNetwork:
    return PixNetNetwork(load_encoder(encoder, "random", Path("unused")), n_genes, dim=dim, levels=levels)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_defaults_have_the_published_size() -> None:
    p = PixNetParams()

    made = network(p.encoder, p.dim, 250, p.levels)

    assert count(made.pyramid) == 11_176_512
    assert count(made) - count(made.pyramid) == 17_934_077
    assert count(made.head) == 128_250
    assert all(parameter.requires_grad for parameter in made.parameters())


def test_features_have_the_stride_of_the_finest_level() -> None:
    made = network()
    images = torch.rand(2, 3, 64, 96)

    assert [tuple(level.shape[1:]) for level in made.pyramid(images)] == [
        (64, 16, 24),
        (128, 8, 12),
        (256, 4, 6),
        (512, 2, 3),
    ]
    assert made(images).shape == (2, 4, 16, 24)
    assert (made.stride, made.step) == (4, 32)


@pytest.mark.parametrize("encoder", ["test_resnet.r160_in1k", "test_convnext.r160_in1k", "test_efficientnet.r160_in1k"])
def test_other_pyramids_by_name(encoder: str) -> None:
    made = network(encoder, levels=3)

    assert made(torch.rand(1, 3, 64, 64)).shape == (1, 4, 64 // made.stride, 64 // made.stride)
    assert (made.stride, made.step) == (8, 32)


@pytest.mark.parametrize(("encoder", "levels"), [("test_vit.r160_in1k", 4), ("resnet18", 6), ("shufflenet-v2-x0-5", 4)])
def test_what_is_no_pyramid_is_refused(encoder: str, levels: int) -> None:
    with pytest.raises(UsageError, match=f"{levels} stages"):
        network(encoder, levels=levels)


def test_batch_statistics_stay_and_everything_else_trains() -> None:
    made = network()
    before = {name: buffer.clone() for name, buffer in made.named_buffers()}

    made.train()(torch.rand(1, 3, 64, 64)).sum().backward()

    assert all(torch.equal(buffer, before[name]) for name, buffer in made.named_buffers())
    assert made.training
    assert made.pyramid.network.conv1.weight.grad.abs().sum() > 0
    assert all(p.grad is not None for p in made.decoder.parameters())


def without_dead_ends(made: PixNetNetwork) -> PixNetNetwork:
    """The same connections with positive weights alone: a gradient is 0 only where nothing is connected."""
    for parameter in made.parameters():
        nn.init.constant_(parameter, 1e-2)
    for module in list(made.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.GELU):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(module, name, nn.AvgPool2d(3, 2, 1))
    return made.double().eval()


def test_the_receptive_field_ends_within_the_default_halo() -> None:
    made = without_dead_ends(network(dim=1))
    image = torch.rand(1, 3, 32, 1024, dtype=torch.float64, requires_grad=True)
    border, reach = 512, []
    for pixel in (border - 1, border):  # the last pixel of one tile, the first of the next
        features = made(image)[0]
        cells = features[0, 4] * torch.from_numpy(weights(pixel, features.shape[2]))
        (gradient,) = torch.autograd.grad(cells.sum(), image)
        seen = gradient[0].abs().sum((0, 1)).nonzero().flatten()
        reach += [border - int(seen.min()), int(seen.max()) + 1 - border]

    assert max(reach) == 281
    assert PixNetParams().halo_px >= 281


def weights(pixel: int, columns: int) -> np.ndarray:
    """Weights of a row's cells in one of its pixels."""
    row = torch.eye(columns)[:, None, :]  # a channel for each cell
    sums, _ = pool(row, Footprints(np.array([[pixel + 0.5, 0.5]]), 1.0, "square"), 4)
    return sums[0].double().numpy()
