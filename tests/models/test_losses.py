"""Losses against torch.distributions and definitions written out in scalars, also where float32 runs out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import NegativeBinomial

from stbench.models.losses import masked_mse, nb_log_prob, nb_nll, zinb_log_prob, zinb_nll

COUNTS = [0.0, 1.0, 7.0, 300.0]
MEANS = [1e-5, 0.3, 12.0, 4e3]
DISPERSIONS = [1e-4, 0.5, 15.9, 16.1, 1e4]


def grid(*axes: list[float], dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Every combination of some values, one axis after the other."""
    return tuple(v.flatten() for v in torch.meshgrid(*(torch.tensor(a, dtype=dtype) for a in axes), indexing="ij"))


def slow_nb(x: float, mu: float, theta: float) -> float:
    """Log of Γ(x+θ)/(Γ(θ) x!) · (θ/(θ+μ))^θ · (μ/(θ+μ))^x, the product of the Gammas' ratio taken factor by factor."""
    orders = math.fsum(math.log((theta + k) / (k + 1)) for k in range(int(x)))
    return orders - theta * math.log1p(mu / theta) + x * math.log(mu / (mu + theta))


def slow_zinb(x: float, mu: float, theta: float, pi: float) -> float:
    """A zero is one of the inflation or one of the negative binomial; anything else is of the latter."""
    nb = slow_nb(x, mu, theta)
    return math.log(pi + (1 - pi) * math.exp(nb)) if x == 0 else math.log(1 - pi) + nb


def scvi_zinb(x: Tensor, mu: Tensor, theta: Tensor, logits: Tensor, eps: float = 1e-8) -> Tensor:
    """The zero-inflated likelihood as scvi-tools defines it: softplus forms with an epsilon of 1e-8."""
    softplus = torch.nn.functional.softplus
    log_theta, log_both = torch.log(theta + eps), torch.log(theta + mu + eps)
    inflated = -logits + theta * (log_theta - log_both)
    zero = softplus(inflated) - softplus(-logits)
    orders = torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
    other = -softplus(-logits) + inflated + x * (torch.log(mu + eps) - log_both) + orders
    return torch.where(x < eps, zero, other)


def test_the_negative_binomial_is_that_of_torch_distributions() -> None:
    x, mu, theta = grid(COUNTS, MEANS, DISPERSIONS)

    expected = NegativeBinomial(total_count=theta, logits=torch.log(mu / theta)).log_prob(x)

    # log(μ + 1e-10) is log μ but for a hundred-thousandth at the smallest mean
    torch.testing.assert_close(nb_log_prob(x, mu, theta), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_negative_binomial_is_its_definition(dtype: torch.dtype) -> None:
    axes = grid(COUNTS, MEANS[1:], [*DISPERSIONS, 1e8], dtype=dtype)

    expected = [slow_nb(*values) for values in zip(*(a.tolist() for a in axes), strict=True)]

    tolerance = 1e-9 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(
        nb_log_prob(*axes), torch.tensor(expected, dtype=dtype), rtol=tolerance, atol=200 * tolerance
    )


def test_a_large_dispersion_is_a_poisson_distribution() -> None:
    x, mu = grid([0.0, 3.0, 40.0], [0.1, 5.0, 50.0], dtype=torch.float32)

    log_prob = nb_log_prob(x, mu, torch.full_like(mu, 1e10))

    torch.testing.assert_close(log_prob, torch.distributions.Poisson(mu).log_prob(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_zero_inflated_one_is_its_definition(dtype: torch.dtype) -> None:
    x, mu, theta, pi = grid(COUNTS, MEANS[1:], DISPERSIONS, [1e-6, 0.2, 0.9], dtype=dtype)

    expected = [slow_zinb(*v) for v in zip(*(a.tolist() for a in (x, mu, theta, pi)), strict=True)]

    tolerance = 1e-9 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(
        zinb_log_prob(x, mu, theta, pi.logit()),
        torch.tensor(expected, dtype=dtype),
        rtol=tolerance,
        atol=200 * tolerance,
    )


def test_the_zero_inflated_one_is_that_of_scvi_tools() -> None:
    x, mu, theta, logits = grid(COUNTS, MEANS[1:], DISPERSIONS[1:], [-8.0, 0.0, 3.0])

    torch.testing.assert_close(
        zinb_log_prob(x, mu, theta, logits), scvi_zinb(x, mu, theta, logits), rtol=1e-5, atol=1e-5
    )


def test_without_inflation_it_is_the_negative_binomial() -> None:
    x, mu, theta = grid(COUNTS, MEANS, DISPERSIONS)

    torch.testing.assert_close(zinb_log_prob(x, mu, theta, torch.full_like(x, -1e5)), nb_log_prob(x, mu, theta))


def test_the_probabilities_of_all_counts_add_up_to_one() -> None:
    x = torch.arange(4000, dtype=torch.float64)
    one = torch.ones_like(x)

    for log_prob in (nb_log_prob(x, 30 * one, 2 * one), zinb_log_prob(x, 30 * one, 2 * one, -one)):
        assert float(log_prob.exp().sum()) == pytest.approx(1)


EXTREME = (
    [0.0, 1.0, 1e6],
    [0.0, 1e-30, 1e-5, 1e6],
    [1e-30, 1e-4, 1.0, 1e4, 1e12],
    [-1e4, -50.0, 0.0, 50.0, 1e4],
)


@pytest.mark.parametrize("inflated", [False, True])
def test_extremes_are_finite_and_so_are_their_gradients(inflated: bool) -> None:
    x, *parameters = grid(*EXTREME, dtype=torch.float32)
    mu, theta, logits = (p.requires_grad_() for p in parameters)

    log_prob = zinb_log_prob(x, mu, theta, logits) if inflated else nb_log_prob(x, mu, theta)
    log_prob.sum().backward()

    assert log_prob.isfinite().all()
    assert (log_prob <= 1e-3).all()
    for parameter in (mu, theta, logits) if inflated else (mu, theta):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_gradients_are_those_of_finite_differences() -> None:
    x, *parameters = grid([0.0, 5.0], [0.4, 9.0], [0.3, 16.0 - 1e-4, 16.0 + 1e-4, 500.0], [-1.0, 2.0])
    inputs = [p.requires_grad_() for p in parameters]

    assert torch.autograd.gradcheck(lambda *p: zinb_log_prob(x, *p), inputs)


def test_half_precision_is_computed_in_float32() -> None:
    x, mu, theta = grid([0.0, 300.0], [0.5, 200.0], [0.5, 50.0], dtype=torch.bfloat16)

    log_prob = nb_log_prob(x, mu, theta)

    assert log_prob.dtype == torch.float32
    torch.testing.assert_close(log_prob, nb_log_prob(x.float(), mu.float(), theta.float()))


@pytest.fixture
def some() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Counts, mean, dispersion, logits and what was measured."""
    generator = torch.Generator().manual_seed(0)
    mean, dispersion = (torch.rand(8, 5, generator=generator) * 4 + 0.1 for _ in range(2))
    counts = torch.randint(6, (8, 5), generator=generator).float()
    return counts, mean, dispersion, torch.randn(8, 5, generator=generator), torch.rand(8, 5, generator=generator) < 0.6


def test_the_nlls_are_means_over_measured_entries(some: tuple[Tensor, ...]) -> None:
    counts, mean, dispersion, logits, measured = some

    nb, zinb = nb_log_prob(counts, mean, dispersion), zinb_log_prob(counts, mean, dispersion, logits)

    torch.testing.assert_close(nb_nll(counts, mean, dispersion, measured), -nb[measured].mean())
    torch.testing.assert_close(zinb_nll(counts, mean, dispersion, logits, measured), -zinb[measured].mean())


@pytest.mark.parametrize("filler", [1e9, -1.0, float("nan")])
def test_unmeasured_counts_change_nothing(some: tuple[Tensor, ...], filler: float) -> None:
    counts, mean, dispersion, logits, measured = some
    parameters = [p.clone().requires_grad_() for p in (mean, dispersion, logits)]

    loss = zinb_nll(torch.where(measured, counts, filler), *parameters, measured)
    loss.backward()

    torch.testing.assert_close(loss.detach(), zinb_nll(counts, mean, dispersion, logits, measured))
    for parameter in parameters:
        assert parameter.grad is not None
        assert (parameter.grad[~measured] == 0).all()
        assert parameter.grad.isfinite().all()


def test_a_section_without_measurements_costs_nothing(some: tuple[Tensor, ...]) -> None:
    counts, mean, dispersion, logits, measured = some
    nothing = torch.zeros_like(measured)

    assert masked_mse(mean, counts, nothing) == 0
    assert nb_nll(counts, mean, dispersion, nothing) == 0
    assert zinb_nll(counts, mean, dispersion, logits, nothing) == 0


def test_the_masked_error_is_the_mean_over_measured_entries(some: tuple[Tensor, ...]) -> None:
    prediction, target, _, _, measured = some
    everything = torch.ones_like(measured)

    torch.testing.assert_close(
        masked_mse(prediction, target, everything), torch.nn.functional.mse_loss(prediction, target)
    )
    torch.testing.assert_close(
        masked_mse(prediction, target, measured),
        torch.nn.functional.mse_loss(prediction[measured], target[measured]),
    )


@pytest.mark.parametrize("filler", [1e9, float("nan"), float("inf")])
def test_unmeasured_entries_have_no_gradient(filler: float) -> None:
    prediction = torch.randn(8, 5, requires_grad=True)
    measured = torch.rand(8, 5) < 0.6
    target = torch.where(measured, torch.randn(8, 5), filler)

    masked_mse(prediction, target, measured).backward()

    assert prediction.grad is not None
    assert (prediction.grad[~measured] == 0).all()
    assert (prediction.grad[measured] != 0).all()


def test_the_fit_of_the_likelihood_is_the_sample(some: tuple[Tensor, ...]) -> None:
    """The mean of the sample maximises the likelihood, whatever the dispersion."""
    sample = torch.from_numpy(np.random.default_rng(0).negative_binomial(2, 0.3, 4000)).double()
    log_mean = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_mean], max_iter=50)

    def loss() -> Tensor:
        optimiser.zero_grad()
        mean = log_mean.exp().expand_as(sample)
        nll = nb_nll(sample, mean, torch.full_like(sample, 2.0), torch.ones_like(sample, dtype=torch.bool))
        nll.backward()
        return nll

    optimiser.step(loss)

    assert float(log_mean.detach().exp()) == pytest.approx(float(sample.mean()), rel=1e-4)
