"""How alike predictions and targets vary over the spots of a step."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-8


def pearson_loss(prediction: Tensor, target: Tensor, measured: Tensor) -> Tensor:
    """1 − the mean over genes of Pearson's r over the measured spots; 0 if the target of no gene varies.

    Parameters
    ----------
    prediction, target
        (spots, genes).
    measured
        (spots, genes) bool; what stands elsewhere changes nothing, not even if it is NaN.
    """
    x, y = _centred(prediction, measured), _centred(target, measured)
    variation = y.square().sum(0)  # (genes,)
    length = x.square().sum(0).clamp(min=TINY**2).sqrt() * variation.clamp(min=TINY**2).sqrt()
    r = (x * y).sum(0) / (length + TINY)
    varies = variation > TINY
    return torch.where(varies, 1 - r, 0).sum() / varies.sum().clamp(min=1)


def _centred(values: Tensor, measured: Tensor) -> Tensor:
    values = torch.where(measured, values, 0)
    mean = values.sum(0) / measured.sum(0).clamp(min=1)
    return torch.where(measured, values - mean, 0)
