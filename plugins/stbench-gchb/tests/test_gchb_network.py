from __future__ import annotations

import math

import pytest
import torch

from stbench.models.retrieval import nearest
from stbench_gchb.branch import Branch
from stbench_gchb.graph import Neighbourhoods
from stbench_gchb.network import with_own


def n_weights(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("n_features", "layer"), [(813, 208_385), (1000, 256_257)])
def test_a_branch_has_the_published_number_of_weights(n_features: int, layer: int) -> None:
    branch = Branch(n_features, 256, 128, 0.4)

    assert n_weights(branch.mix) + branch.bias.numel() + n_weights(branch.activate) == layer
    assert n_weights(branch.discriminate) == 65_537
    assert n_weights(branch.project) == 49_664


def test_infomax_equals_the_formula() -> None:
    torch.manual_seed(0)
    branch = Branch(5, 4, 3, 0.1).eval().requires_grad_(False)
    gathered, shuffled = torch.randn(2, 7, 5)

    real, fake = branch(gathered), branch(shuffled)
    summary = torch.sigmoid(real.mean(0))
    weight, bias = branch.discriminate.weight[0], branch.discriminate.bias[0]

    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x))

    terms = [log_sigmoid(float(h @ weight @ summary + bias)) for h in real]
    terms += [log_sigmoid(-float(h @ weight @ summary + bias)) for h in fake]
    assert float(branch.infomax_loss(gathered, shuffled)) == pytest.approx(-sum(terms) / len(terms), rel=1e-5)


def test_infomax_gradients_are_finite_at_extremes() -> None:
    torch.manual_seed(0)
    branch = Branch(5, 4, 3, 0.1)

    branch.infomax_loss(1e6 * torch.randn(7, 5), -1e6 * torch.randn(7, 5)).backward()

    assert all(torch.isfinite(p.grad).all() for p in branch.of_infomax if p.grad is not None)


def test_pre_training_leaves_the_projection_alone() -> None:
    branch = Branch(5, 4, 3, 0.1)

    trained = {id(p) for p in branch.of_infomax}

    assert not trained & {id(p) for p in branch.project.parameters()}
    assert len(trained) == 5  # mix, bias, PReLU, and the discriminator's two


def test_a_step_gathers_fresh_features_where_they_are_and_kept_ones_elsewhere() -> None:
    torch.manual_seed(0)
    itself = torch.arange(9)
    neighbours = Neighbourhoods(torch.stack([itself, (itself + 1) % 9], 1), torch.rand(9, 2))
    encoded, spots = torch.randn(9, 5), torch.tensor([7, 2, 3])  # the second gathers from the third
    fresh = torch.randn(3, 5).requires_grad_()

    found = with_own(encoded, fresh, spots, neighbours)

    whole = encoded.clone()
    whole[spots] = fresh
    torch.testing.assert_close(found, neighbours.gather(whole)[spots])
    found[1].sum().backward()
    assert fresh.grad is not None
    torch.testing.assert_close(fresh.grad[:, 0], torch.stack([torch.tensor(0.0), *neighbours.weight[2]]))


def test_retrieval_takes_the_largest_products() -> None:
    keys = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])

    assert nearest(torch.tensor([[1.0, 0.1]]), keys, 2)[1].tolist() == [[1, 0]]
