"""The Hilbert-Schmidt independence criterion, and the bottleneck made of it."""

from __future__ import annotations

import torch
from torch import Tensor

from stbench_gchb.params import Bandwidth


def hsic(x: Tensor, y: Tensor, sigma: Bandwidth) -> Tensor:
    """Dependence of two views of the same spots, tr(KₓHK_yH)/(n−1)²: the biased estimate, 0 or more.

    Parameters
    ----------
    x, y
        (spots, features) each, two spots or more.
    sigma
        Width of the kernel exp(−‖a−b‖²/σ²), or ``median``: of the distances of each view.
    """
    return _dependence(_centred(x, sigma), _centred(y, sigma))


def normalised_hsic(x: Tensor, y: Tensor, sigma: Bandwidth) -> Tensor:
    """HSIC(x, y) / (√(1 + HSIC(x, x)) √(1 + HSIC(y, y))), the paper's Equation 4."""
    a, b = _centred(x, sigma), _centred(y, sigma)
    return _dependence(a, b) / ((1 + _dependence(a, a)).sqrt() * (1 + _dependence(b, b)).sqrt())


def _dependence(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (len(a) - 1) ** 2


def _centred(x: Tensor, sigma: Bandwidth) -> Tensor:
    """HKH of the Gaussian kernel, in 32-bit numbers under mixed precision too."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        x = x - x.mean(0)
        square = x.square().sum(1)
        distance = (square[:, None] + square - 2 * x @ x.T).clamp(min=0)
    if sigma == "median":
        apart = distance.detach()[~torch.eye(len(x), dtype=torch.bool, device=x.device)]
        width = apart.median().clamp(min=1e-12)
    else:
        width = torch.tensor(float(sigma) ** 2, device=x.device)
    kernel = torch.exp(-distance / width)
    return kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
