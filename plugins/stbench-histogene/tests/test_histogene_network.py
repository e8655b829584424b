from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from stbench_histogene.network import Attention, Block, HisToGeneNetwork, masked_mse
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


def slow_attention(attention: Attention, tokens: Tensor, heads: int) -> Tensor:
    """One head and one spot at a time."""
    q_weight, k_weight, v_weight = attention.to_qkv.weight.chunk(3)
    mixed = []
    for q_head, k_head, v_head in zip(*(w.chunk(heads) for w in (q_weight, k_weight, v_weight)), strict=True):
        rows = []
        for token in tokens:
            scores = [(q_head @ token) @ (k_head @ other) / math.sqrt(len(q_head)) for other in tokens]
            share = torch.softmax(torch.stack(scores), 0)
            rows.append(sum(s * (v_head @ other) for s, other in zip(share, tokens, strict=True)))
        mixed.append(torch.stack(rows))
    out = attention.to_out[0]
    return torch.cat(mixed, 1) @ out.weight.T + out.bias


def test_attention_equals_a_slow_reference() -> None:
    torch.manual_seed(0)
    attention = Attention(12, heads=3, dim_head=5, dropout=0.1).double().eval()
    tokens = torch.randn(7, 12, dtype=torch.float64)

    torch.testing.assert_close(attention(tokens), slow_attention(attention, tokens, heads=3))


def test_a_block_normalises_first_and_adds() -> None:
    torch.manual_seed(0)
    block = Block(12, heads=3, dim_head=5, mlp_dim=20, dropout=0.1).double().eval()
    tokens = torch.randn(7, 12, dtype=torch.float64)
    up, down = (layer for layer in block.feed_forward if isinstance(layer, nn.Linear))

    x = tokens + slow_attention(block.attention[1], layer_norm(tokens, (12,)), heads=3)
    hidden = layer_norm(x, (12,)) @ up.weight.T + up.bias
    gelu = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    expected = x + gelu @ down.weight.T + down.bias

    torch.testing.assert_close(block(tokens), expected)


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


def test_the_masked_loss_is_the_plain_one_when_all_is_measured() -> None:
    prediction, target = torch.randn(2, 8, 5)

    loss = masked_mse(prediction, target, torch.ones(8, 5, dtype=torch.bool))

    torch.testing.assert_close(loss, nn.functional.mse_loss(prediction, target))


def test_the_masked_loss_is_the_mean_over_measured_entries() -> None:
    prediction, target = torch.randn(2, 8, 5)
    measured = torch.rand(8, 5) < 0.6

    loss = masked_mse(prediction, target, measured)

    torch.testing.assert_close(loss, nn.functional.mse_loss(prediction[measured], target[measured]))


@pytest.mark.parametrize("filler", [1e9, float("nan"), float("inf")])
def test_unmeasured_entries_have_no_gradient(filler: float) -> None:
    prediction = torch.randn(8, 5, requires_grad=True)
    measured = torch.rand(8, 5) < 0.6
    target = torch.where(measured, torch.randn(8, 5), filler)

    masked_mse(prediction, target, measured).backward()

    assert prediction.grad is not None
    assert (prediction.grad[~measured] == 0).all()
    assert (prediction.grad[measured] != 0).all()


def test_a_section_without_measurements_costs_nothing() -> None:
    assert masked_mse(torch.randn(3, 2), torch.randn(3, 2), torch.zeros(3, 2, dtype=torch.bool)) == 0
