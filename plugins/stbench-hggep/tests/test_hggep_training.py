from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torchvision.transforms import RandomHorizontalFlip

from stbench.models.losses import masked_mse, zinb_nll
from stbench.models.section_model import Section
from stbench_hggep.backbone import shufflenet
from stbench_hggep.params import HggepParams
from stbench_hggep.plugin import SMOKE
from stbench_hggep.training import CountHead, HggepModule

N = 10
N_GENES = 4
TINY = SMOKE | {
    "stages": ["stage2", "stage3"],
    "dim": 32,
    "heads": 2,
    "dim_head": 8,
    "mlp_dim": 32,
    "hypergraph_dim": 16,
}


def module(**settings: object) -> HggepModule:
    """A module whose passes are all alike: no dropout."""
    torch.manual_seed(0)
    still = {"dropout": 0.0, "hypergraph_dropout": 0.0}
    return HggepModule(shufflenet(False), N_GENES, HggepParams.model_validate(TINY | still | settings))


@pytest.fixture
def section() -> Section:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randint(256, (N, 24, 24, 3), dtype=torch.uint8, generator=generator)
    index = torch.stack([torch.arange(N) // 5, torch.arange(N) % 5], 1)
    inputs = (patches, index, index.float(), torch.empty(2, 0, dtype=torch.int64))
    counts = torch.randint(30, (N, N_GENES), generator=generator).float()
    size = counts.sum(1) / counts.sum(1).median()
    measured = torch.rand(N, N_GENES, generator=generator) < 0.8
    return Section(inputs, torch.rand(N, N_GENES, generator=generator), measured, (counts, size))


def test_without_extras_the_loss_is_the_squared_error(section: Section) -> None:
    plain = module(zinb_weight=0)

    loss = plain.training_step(section._replace(loss_inputs=()), 0)

    torch.testing.assert_close(loss, masked_mse(plain(*section.inputs), section.target, section.measured))


def test_the_likelihood_of_the_counts_is_added(section: Section) -> None:
    net = module(zinb_weight=0.5)
    counts, size = section.loss_inputs
    features = net.network.features(*section.inputs)
    assert net.counts is not None
    mean, dispersion, zero_logits = net.counts(features)

    expected = masked_mse(net.network.gene_head(features), section.target, section.measured)
    expected = expected + 0.5 * zinb_nll(counts, mean * size[:, None], dispersion, zero_logits, section.measured)

    torch.testing.assert_close(net.training_step(section, 0), expected)


def test_the_views_are_weighed_per_spot_and_agreed_with(section: Section) -> None:
    net = module(zinb_weight=0, self_distillation=3)
    distil = net.distil
    assert distil is not None
    distil.augment = RandomHorizontalFlip(1.0)
    patches, *rest = section.inputs
    features = net.network.features(patches.flip(2), *rest)  # all views are this one
    prediction = net(*section.inputs)

    expected = mse_loss(net.network.gene_head(features), prediction)

    torch.testing.assert_close(distil(net.network, prediction, section.inputs), expected)


def test_views_that_weigh_more_count_more(section: Section) -> None:
    net = module(self_distillation=2)
    assert net.distil is not None
    views = torch.randn(2, N, 32)
    weight = net.distil.weigh(views).squeeze(-1).exp()  # (views, spots)

    expected = (weight[0, :, None] * views[0] + weight[1, :, None] * views[1]) / weight.sum(0)[:, None]

    share = net.distil.weigh(views).softmax(0)
    torch.testing.assert_close((share * views).sum(0), expected)


def test_a_view_is_drawn_once_for_all_spots(section: Section) -> None:
    distil = module(self_distillation=1).distil
    assert distil is not None
    torch.manual_seed(0)
    same = section.inputs[0][:1].expand(N, -1, -1, -1).permute(0, 3, 1, 2)

    for _ in range(5):
        view = distil.augment(same)
        assert (view == view[:1]).all()
        assert view.shape == same.shape


def test_all_losses_train_every_part(section: Section) -> None:
    net = module(self_distillation=1)

    net.training_step(section, 0).backward()

    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


@pytest.mark.parametrize("features", [1e6, -1e6])
def test_counts_stay_in_range_with_finite_gradients(features: float) -> None:
    torch.manual_seed(0)
    head = CountHead(4, 5)
    outputs: tuple[Tensor, ...] = head(torch.full((3, 4), features))
    mean, dispersion, logits = outputs

    zinb_nll(torch.ones(3, 5), mean, dispersion, logits, torch.ones(3, 5, dtype=torch.bool)).backward()

    assert 0.999e-5 <= mean.min() <= mean.max() <= 1.001e6
    assert 1e-4 <= dispersion.min() <= dispersion.max() <= 1e4
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_empty_spots_cost_something_finite(section: Section) -> None:
    counts, size = section.loss_inputs
    empty = section._replace(loss_inputs=(counts * 0, size * 0))

    loss = module().training_step(empty, 0)
    loss.backward()

    assert loss.isfinite()
