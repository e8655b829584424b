from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stbench.models.contrastive import ProjectionHead, soft_target_loss


def slow_loss(expression: Tensor, image: Tensor, temperature: float) -> float:
    """Spot by spot, in 64-bit numbers, as the papers write it."""
    e, i = expression.double().tolist(), image.double().tolist()
    n = len(e)

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    def softmax(row: list[float]) -> list[float]:
        top = max(row)
        powers = [math.exp(x - top) for x in row]
        return [p / sum(powers) for p in powers]

    logits = [[dot(e[a], i[b]) / temperature for b in range(n)] for a in range(n)]
    target = [softmax([(dot(i[a], i[b]) + dot(e[a], e[b])) / 2 / temperature for b in range(n)]) for a in range(n)]
    total = 0.0
    for a in range(n):
        along, across = softmax(logits[a]), softmax([logits[b][a] for b in range(n)])
        total -= sum(target[a][b] * math.log(along[b]) for b in range(n)) / 2
        total -= sum(target[b][a] * math.log(across[b]) for b in range(n)) / 2
    return total / n


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
def test_the_loss_equals_a_slow_reference(temperature: float) -> None:
    torch.manual_seed(0)
    expression, image = torch.randn(2, 7, 5)

    found = soft_target_loss(expression, image, temperature)

    assert float(found) == pytest.approx(slow_loss(expression, image, temperature), rel=1e-5)


def test_views_that_agree_lose_less_than_views_that_do_not() -> None:
    torch.manual_seed(0)
    expression = torch.randn(20, 16)

    aligned = soft_target_loss(expression, expression + 0.1 * torch.randn(20, 16))
    shuffled = soft_target_loss(expression, expression.roll(1, 0))

    assert float(aligned) < float(shuffled) / 5


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e3])
def test_gradients_are_finite_at_extremes(scale: float) -> None:
    torch.manual_seed(0)
    views = [(torch.randn(6, 8) * scale).requires_grad_() for _ in range(2)]

    soft_target_loss(*views).backward()

    assert all(torch.isfinite(view.grad).all() for view in views if view.grad is not None)
    assert all(view.grad is not None for view in views)


def test_half_precision_embeddings_give_a_loss_in_single() -> None:
    torch.manual_seed(0)
    views = torch.randn(2, 6, 8)

    found = soft_target_loss(*views.bfloat16())

    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(soft_target_loss(*views)), rel=0.05)


def test_the_head_has_the_published_number_of_weights() -> None:
    image, spot = ProjectionHead(2048, 256, 0.1), ProjectionHead(3467, 256, 0.1)

    assert sum(p.numel() for p in image.parameters()) == 590_848
    assert sum(p.numel() for p in spot.parameters()) == 954_112


def test_the_head_normalises_and_adds() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(5, 4, 0.5).eval()
    features = torch.randn(3, 5)

    projected = head.project(features)
    _, second, _ = head.refine
    expected = torch.nn.functional.layer_norm(projected + second(torch.nn.functional.gelu(projected)), (4,))

    torch.testing.assert_close(head(features), expected)


def test_mixed_precision_does_not_round_the_similarities() -> None:
    torch.manual_seed(0)
    views = torch.nn.functional.layer_norm(torch.randn(2, 40, 256), (256,))
    expected = soft_target_loss(*views)

    with torch.autocast("cpu", torch.bfloat16):
        found = soft_target_loss(*views)

    torch.testing.assert_close(found, expected)
