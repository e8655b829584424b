from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from stbench.models.spot_transformer import Attention, Block, attention_of


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


def test_what_a_spot_attends_to_mixes_the_values_as_attention_does() -> None:
    torch.manual_seed(0)
    attention = Attention(12, heads=3, dim_head=5, dropout=0.1).double().eval()
    tokens = torch.randn(7, 12, dtype=torch.float64)
    value = attention.to_qkv(tokens)[:, 30:].view(7, 3, 5)  # (spots, heads, dim_head)

    for spot in range(7):
        weights = attention.weights(tokens, spot)
        mixed = torch.stack([weights[head] @ value[:, head] for head in range(3)])
        torch.testing.assert_close(weights.sum(1), torch.ones(3, dtype=torch.float64))
        torch.testing.assert_close(attention.to_out(mixed.flatten()), attention(tokens)[spot])


def test_each_block_sees_what_the_blocks_before_made_of_the_tokens() -> None:
    torch.manual_seed(0)
    blocks = nn.Sequential(*(Block(12, heads=3, dim_head=5, mlp_dim=20, dropout=0.1) for _ in range(2))).eval()
    tokens = torch.randn(7, 12)

    found = attention_of(blocks, tokens, spot=4)

    assert found.shape == (2, 3, 7)
    torch.testing.assert_close(found[0], blocks[0].attention_of(tokens, 4))
    torch.testing.assert_close(found[1], blocks[1].attention_of(blocks[0](tokens), 4))
