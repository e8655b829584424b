from __future__ import annotations

import numpy as np
import pytest
import torch

from stbench_pixnet.losses import pearson_loss


def values(seed: int, spots: int = 40, genes: int = 5) -> torch.Tensor:
    return torch.randn(spots, genes, generator=torch.Generator().manual_seed(seed))


def test_it_is_one_less_the_mean_of_numpys_correlations() -> None:
    prediction, target = values(0), values(1)

    loss = pearson_loss(prediction, target, torch.ones(40, 5, dtype=torch.bool))

    r = [np.corrcoef(x, y)[0, 1] for x, y in zip(prediction.T.numpy(), target.T.numpy(), strict=True)]
    assert float(loss) == pytest.approx(1 - np.mean(r), abs=1e-6)


def test_genes_whose_target_does_not_vary_are_skipped() -> None:
    prediction, target = values(0), values(1)
    everything = torch.ones(40, 5, dtype=torch.bool)
    constant = target.clone()
    constant[:, 2] = 3.0
    others = [0, 1, 3, 4]

    loss = pearson_loss(prediction, constant, everything)

    assert loss == pytest.approx(float(pearson_loss(prediction[:, others], target[:, others], everything[:, others])))
    assert pearson_loss(prediction, torch.ones(40, 5), everything) == 0


def test_what_was_not_measured_changes_nothing() -> None:
    prediction, target = values(0).requires_grad_(), values(1)
    measured = torch.rand(40, 5, generator=torch.Generator().manual_seed(2)) < 0.7
    measured[:, 4] = False
    holes = torch.where(measured, target, torch.nan)

    loss = pearson_loss(prediction, holes, measured)
    loss.backward()

    r = []
    for gene in range(4):
        seen = measured[:, gene].numpy()
        r.append(np.corrcoef(prediction.detach()[:, gene].numpy()[seen], target[:, gene].numpy()[seen])[0, 1])
    assert loss.item() == pytest.approx(1 - np.mean(r), abs=1e-6)
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert (prediction.grad[~measured] == 0).all()


def test_a_constant_prediction_has_a_finite_gradient() -> None:
    prediction = torch.zeros(40, 5, requires_grad=True)

    loss = pearson_loss(prediction, values(1), torch.ones(40, 5, dtype=torch.bool))
    loss.backward()

    assert loss.item() == pytest.approx(1)
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
