from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from stbench_stnet.network import StNetNetwork, squared_error
from stbench_stnet.params import StNetParams


def network(encoder: nn.Module, n_features: int, n_genes: int = 5, **params: Any) -> StNetNetwork:
    return StNetNetwork(encoder, n_features, n_genes, StNetParams(**params))


def small(**params: Any) -> StNetNetwork:
    """An encoder that sees where a colour is: nothing is the same after a flip or a turn."""
    torch.manual_seed(0)
    return network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 7), nn.ReLU()), 7, **params).eval()


@pytest.mark.parametrize(("n_genes", "parameters"), [(250, 7_210_106), (256, 7_216_256), (785, 7_758_481)])
def test_the_published_network_has_the_published_size(n_genes: int, parameters: int) -> None:
    with torch.device("meta"):
        densenet = timm.create_model(StNetParams().encoder, num_classes=0)
        made = network(densenet, 1024, n_genes)

    assert sum(p.numel() for p in made.parameters() if p.requires_grad) == parameters


def test_the_encoder_is_torchvisions_densenet() -> None:
    torchvision = pytest.importorskip("torchvision")
    theirs = torchvision.models.densenet121(weights=None).eval()
    ours = timm.create_model("densenet121.tv_in1k", num_classes=250).eval()
    theirs.classifier = nn.Linear(1024, 250)
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(2, 3, 64, 64)

    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_a_patch_is_normalised_by_channel_before_the_encoder() -> None:
    made = small(tta="none")
    made.mean, made.std = torch.tensor([0.5, 0.4, 0.7]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.1]).view(3, 1, 1)
    images = torch.rand(3, 3, 8, 8)

    normalised = torch.stack([(images[:, c] - made.mean[c]) / made.std[c] for c in range(3)], 1)

    torch.testing.assert_close(made(images), made.head(made.encoder(normalised)))


def test_a_prediction_is_the_mean_over_eight_distinct_views() -> None:
    made = small()
    image = torch.rand(1, 3, 8, 8)
    flipped = (image, image.flip(3))
    views = [view.rot90(turns, (2, 3)) for view in flipped for turns in range(4)]

    singly = torch.cat([made.genes(view) for view in views])

    assert len({tuple(row) for row in singly.tolist()}) == 8
    torch.testing.assert_close(made(image)[0], singly.mean(0))


@pytest.mark.parametrize("moves", [(), ("h",), ("v",), ("t",), ("h", "t"), ("v", "t"), ("h", "v"), ("t", "t", "t")])
def test_flips_and_turns_change_no_prediction(moves: tuple[str, ...]) -> None:
    made, images = small(), torch.rand(4, 3, 8, 8)
    moved = images
    for move in moves:
        moved = moved.rot90(1, (2, 3)) if move == "t" else moved.flip(3 if move == "h" else 2)

    torch.testing.assert_close(made(moved), made(images))
    if moves:
        assert not torch.allclose(made.genes(moved), made.genes(images))


def loss(made: StNetNetwork, *batch: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of a batch, and its gradient over all parameters."""
    made.zero_grad()
    value = squared_error(made.genes(batch[0]), *batch[1:], made.params.loss_reduction)
    value.backward()
    return value.detach(), torch.cat([p.grad.flatten() for p in made.parameters() if p.grad is not None])


def batch(n: int = 6, n_genes: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(n, n_genes, generator=generator)
    return torch.rand(n, 3, 8, 8, generator=generator), target, torch.rand(n, n_genes, generator=generator) < 0.7


@pytest.mark.parametrize(("reduction", "factor"), [("sum_batch", 2.0), ("mean", 1.0)])
def test_a_batch_twice_as_large_has_twice_the_loss_and_gradient(reduction: str, factor: float) -> None:
    made, once = small(loss_reduction=reduction), batch()

    value, gradient = loss(made, *once)
    doubled, doubled_gradient = loss(made, *(torch.cat([part, part]) for part in once))

    torch.testing.assert_close(doubled, factor * value)
    torch.testing.assert_close(doubled_gradient, factor * gradient)


def test_the_loss_is_summed_over_the_batch_and_averaged_over_genes() -> None:
    _, target, measured = batch()
    prediction = torch.randn(target.shape)

    errors = [
        [float((prediction[i, g] - target[i, g]) ** 2) if measured[i, g] else 0.0 for g in range(5)] for i in range(6)
    ]
    spots = [sum(row) / 5 for row in errors]

    assert float(squared_error(prediction, target, measured, "sum_batch")) == pytest.approx(sum(spots), rel=1e-5)
    mean = sum(map(sum, errors)) / int(measured.sum())
    assert float(squared_error(prediction, target, measured, "mean")) == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("reduction", ["sum_batch", "mean"])
@pytest.mark.parametrize("filler", [1e9, float("nan"), float("inf")])
def test_unmeasured_entries_have_no_gradient(filler: float, reduction: Any) -> None:
    prediction = torch.randn(6, 5, requires_grad=True)
    _, target, measured = batch()

    squared_error(prediction, torch.where(measured, target, filler), measured, reduction).backward()

    assert prediction.grad is not None
    assert ((prediction.grad != 0) == measured).all()


def test_nothing_measured_costs_nothing() -> None:
    assert squared_error(torch.randn(3, 2), torch.randn(3, 2), torch.zeros(3, 2, dtype=torch.bool), "mean") == 0
