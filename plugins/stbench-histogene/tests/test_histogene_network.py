from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stbench_histogene.network import HisToGeneNetwork
from stbench_histogene.params import HisToGeneParams

PUBLISHED = {"pixels": 112, "n_positions": 64, "raw_intensities": True, "dim": 1024} | {
    "heads": 16,
    "dim_head": 64,
    "mlp_dim": 2048,
    "dropout": 0.1,
}
SMALL = PUBLISHED | {"pixels": 4, "n_positions": 10, "dim": 12, "heads": 3, "dim_head": 5, "mlp_dim": 20}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("depth", "parameters"), [(8, 106_648_337), (4, 73_061_137)])
def test_the_published_network_has_the_published_size(depth: int, parameters: int) -> None:
    with torch.device("meta"):
        network = HisToGeneNetwork(785, depth=depth, **PUBLISHED)

    assert count(network) == parameters
    assert count(network.embed_patch) == 38_536_192
    assert count(network.embed_row) == count(network.embed_col) == 65_536
    assert count(network.blocks) == depth * 67_174_400 // 8
    assert count(network.gene_head) == 2_048 + 1_025 * 785


def test_the_default_parameters_are_the_published_network() -> None:
    defaults = HisToGeneParams().model_dump()

    assert {name: defaults[name] for name in PUBLISHED} == PUBLISHED | {"raw_intensities": False}
    assert defaults["depth"] == 8


def spots(n: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randint(256, (n, 4, 4, 3), dtype=torch.uint8, generator=generator)
    return patches, torch.randint(10, (n, 2), generator=generator)


@pytest.mark.parametrize("raw", [True, False])
def test_without_blocks_a_spot_is_its_pixels_and_position(raw: bool) -> None:
    network = HisToGeneNetwork(6, depth=0, **SMALL | {"raw_intensities": raw}).double().eval()
    patches, position = spots(1)

    pixels = [float(v) if raw else v / 127.5 - 1 for v in patches.flatten().tolist()]
    token = network.embed_patch(torch.tensor(pixels, dtype=torch.float64))
    token = token + network.embed_row.weight[position[0, 0]] + network.embed_col.weight[position[0, 1]]
    norm, head = network.gene_head

    torch.testing.assert_close(network(patches, position)[0], head(norm(token)))


def test_the_order_of_the_spots_does_not_matter() -> None:
    torch.manual_seed(0)
    network = HisToGeneNetwork(6, depth=2, **SMALL).double().eval()
    patches, position = spots()
    order = torch.randperm(9)

    torch.testing.assert_close(network(patches[order], position[order]), network(patches, position)[order])


def test_spots_see_each_other_and_where_they_are() -> None:
    torch.manual_seed(0)
    network = HisToGeneNetwork(6, depth=1, **SMALL).double().eval()
    patches, position = spots()
    alone = network(patches[:1], position[:1])
    moved = network(patches[:1], (position[:1] + 1) % 10)

    assert not torch.allclose(network(patches, position)[:1], alone)
    assert not torch.allclose(moved, alone)


def test_the_patches_are_left_as_they_are() -> None:
    network = HisToGeneNetwork(6, depth=1, **SMALL | {"raw_intensities": False})
    patches, position = spots()
    before = patches.clone()

    network(patches, position)

    assert torch.equal(patches, before)
