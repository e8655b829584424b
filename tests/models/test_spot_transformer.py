from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from stbench.models.spot_transformer import Attention, Block


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
