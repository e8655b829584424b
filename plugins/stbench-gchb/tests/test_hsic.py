from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stbench_gchb.hsic import hsic, normalised_hsic
from stbench_gchb.params import Bandwidth


def slow_hsic(x: Tensor, y: Tensor, sigma: float) -> float:
    """With the centring matrix, entry by entry, in 64-bit numbers."""
    n = len(x)

    def kernel(v: Tensor) -> Tensor:
        rows = v.double().tolist()
        return torch.tensor(
            [[math.exp(-sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / sigma**2) for q in rows] for p in rows]
        ).double()

    h = torch.eye(n).double() - 1 / n
    return float(torch.trace(kernel(x) @ h @ kernel(y) @ h)) / (n - 1) ** 2


@pytest.mark.parametrize("sigma", [0.5, 3.0, 10.0])
def test_it_equals_a_slow_reference(sigma: float) -> None:
    torch.manual_seed(0)
    x, y = torch.randn(9, 4), torch.randn(9, 6)

    assert float(hsic(x, y, sigma)) == pytest.approx(slow_hsic(x, y, sigma), rel=1e-4, abs=1e-8)
    own = [slow_hsic(v, v, sigma) for v in (x, y)]
    expected = slow_hsic(x, y, sigma) / (math.sqrt(1 + own[0]) * math.sqrt(1 + own[1]))
    assert float(normalised_hsic(x, y, sigma)) == pytest.approx(expected, rel=1e-4, abs=1e-8)


def test_the_median_width_is_that_of_the_distances_in_the_batch() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3)
    apart = torch.pdist(x).square()
    width = float(torch.cat([apart, apart]).median()) ** 0.5  # each pair counts twice

    assert float(hsic(x, x, "median")) == pytest.approx(slow_hsic(x, x, width), rel=1e-4)


def test_what_depends_scores_higher_than_what_does_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 2)

    dependent, independent = hsic(x, x.square(), "median"), hsic(x, torch.randn(200, 2), "median")

    assert float(dependent) > 3 * float(independent) > 0


@pytest.mark.parametrize("sigma", [10.0, "median"])
@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e4])
def test_gradients_are_finite_at_extremes(scale: float, sigma: Bandwidth) -> None:
    torch.manual_seed(0)
    x, y = (scale * torch.randn(6, 5)).requires_grad_(), torch.randn(6, 3).requires_grad_()

    normalised_hsic(x, y, sigma).backward()

    for view in (x, y):
        assert view.grad is not None
        assert torch.isfinite(view.grad).all()


def test_mixed_precision_does_not_round_the_distances() -> None:
    torch.manual_seed(0)
    x, y = 3 * torch.randn(20, 64), torch.randn(20, 8)
    expected = normalised_hsic(x, y, "median")

    with torch.autocast("cpu", torch.bfloat16):
        found = normalised_hsic(x, y, "median")

    torch.testing.assert_close(found, expected)
