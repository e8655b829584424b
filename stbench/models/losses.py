"""Losses over the values that were measured: squared error, negative binomial, zero-inflated negative binomial."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

TINY = 1e-10
"""Added to the mean where its logarithm is taken, and the smallest dispersion: limits instead of infinities."""
STIRLING_FROM = 16.0
"""Dispersion from which Γ(x+θ)/Γ(θ) is taken from Stirling's series, whose remainder is then below 1e-9."""


def masked_mse(prediction: Tensor, target: Tensor, measured: Tensor) -> Tensor:
    """Mean squared error over the measured entries; 0 if there are none.

    Parameters
    ----------
    prediction, target
        (spots, genes).
    measured
        (spots, genes) bool; what stands elsewhere changes nothing, not even if it is NaN.
    """
    error = torch.where(measured, prediction - target, 0)
    return error.square().sum() / measured.sum().clamp(min=1)


def nb_nll(counts: Tensor, mean: Tensor, dispersion: Tensor, measured: Tensor) -> Tensor:
    """Negative log likelihood of a negative binomial, mean over the measured entries; 0 if there are none.

    Parameters
    ----------
    counts, mean, dispersion
        As in `nb_log_prob`.
    measured
        (spots, genes) bool; what stands in `counts` elsewhere changes nothing.
    """
    return _masked_nll(nb_log_prob(_masked(counts, measured), mean, dispersion), measured)


def zinb_nll(counts: Tensor, mean: Tensor, dispersion: Tensor, zero_logits: Tensor, measured: Tensor) -> Tensor:
    """The same of a zero-inflated negative binomial, mean over the measured entries; 0 if there are none.

    Parameters
    ----------
    counts, mean, dispersion, zero_logits
        As in `zinb_log_prob`.
    measured
        (spots, genes) bool; what stands in `counts` elsewhere changes nothing.
    """
    return _masked_nll(zinb_log_prob(_masked(counts, measured), mean, dispersion, zero_logits), measured)


def nb_log_prob(counts: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Log probability of counts under a negative binomial, elementwise.

    Parameters
    ----------
    counts
        (spots, genes), 0 or more.
    mean
        μ ≥ 0. Where observed depth differs, the expected share times the spot's size factor
        (`stbench.models.panel_counts`).
    dispersion
        θ > 0, the inverse dispersion: the variance is μ + μ²/θ.

    Notes
    -----
    scvi-tools' parametrisation (``log_nb_positive``), `torch.distributions.NegativeBinomial` with ``total_count`` θ and
    ``logits`` log(μ/θ). Computed in at least float32; finite, with finite gradients, for μ = 0 and any θ.
    """
    counts, mean, dispersion = _at_least_float32(counts, mean, dispersion)
    dispersion = dispersion.clamp(min=TINY)
    log_share = torch.log(mean + TINY) - torch.log(mean + dispersion)
    orders = _log_rising(counts, dispersion) - torch.lgamma(counts + 1)
    return orders + _log_prob_of_zero(mean, dispersion) + counts * log_share


def zinb_log_prob(counts: Tensor, mean: Tensor, dispersion: Tensor, zero_logits: Tensor) -> Tensor:
    """Log probability of counts under a zero-inflated negative binomial, elementwise.

    Parameters
    ----------
    counts, mean, dispersion
        As in `nb_log_prob`.
    zero_logits
        Logits of π, the probability of a zero beside those of the negative binomial: π = sigmoid(`zero_logits`). As
        logits, log π and log(1 − π) stay finite however near π is to 0 or 1.

    Notes
    -----
    log(π + (1 − π)·NB(0)) for a count of 0, log(1 − π) + log NB(x) otherwise: scvi-tools' ``log_zinb_positive``.
    """
    counts, mean, dispersion, zero_logits = _at_least_float32(counts, mean, dispersion, zero_logits)
    dispersion = dispersion.clamp(min=TINY)
    log_pi, log_rest = logsigmoid(zero_logits), logsigmoid(-zero_logits)
    zero = torch.logaddexp(log_pi, log_rest + _log_prob_of_zero(mean, dispersion))
    return torch.where(counts > 0, log_rest + nb_log_prob(counts, mean, dispersion), zero)


def _log_prob_of_zero(mean: Tensor, dispersion: Tensor) -> Tensor:
    return -dispersion * torch.log1p(mean / dispersion)


def _log_rising(counts: Tensor, dispersion: Tensor) -> Tensor:
    """Log of Γ(x+θ)/Γ(θ): for large θ, float32 loses all digits in a difference of two lgammas; the series does not."""
    small = dispersion.clamp(max=STIRLING_FROM)
    exact = torch.lgamma(counts + small) - torch.lgamma(small)
    large = dispersion.clamp(min=STIRLING_FROM)
    total = counts + large
    series = (large - 0.5) * torch.log1p(counts / large) + counts * torch.log(total) - counts
    series = series + (1 / total - 1 / large) / 12 - (total**-3 - large**-3) / 360
    return torch.where(dispersion < STIRLING_FROM, exact, series)


def _at_least_float32(*values: Tensor) -> tuple[Tensor, ...]:
    return tuple(value if value.dtype == torch.float64 else value.float() for value in values)


def _masked(counts: Tensor, measured: Tensor) -> Tensor:
    return torch.where(measured, counts, 0)


def _masked_nll(log_prob: Tensor, measured: Tensor) -> Tensor:
    return -torch.where(measured, log_prob, 0).sum() / measured.sum().clamp(min=1)
