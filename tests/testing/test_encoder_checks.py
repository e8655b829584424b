"""Every check of encoders is failed by an encoder with the fault it names, and by no other fault."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stbench.registry import EncoderSpec
from stbench.testing import check_encoder, encoder_checks
from stbench.testing.encoder import EncoderSubject, checks
from stbench.testing.report import ConformanceError

WIDTH = 6


def spec(factory: Callable[[bool], nn.Module], **fields: Any) -> EncoderSpec:
    name = factory.__name__.replace("_", "-").lower()
    given = {"n_features": WIDTH, "weights_repo": "lab/encoder", **fields}
    return EncoderSpec(name=name, factory=f"{__name__}:{factory.__name__}", **given)


def failing(subject: EncoderSpec) -> dict[str, str]:
    outcomes = [check.outcome() for check in encoder_checks(subject)]
    return {o.id: o.message for o in outcomes if o.status == "failed"}


class Small(nn.Module):
    """One convolution, averaged over positions."""

    def __init__(self, pretrained: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, WIDTH, 8, stride=8)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images).relu().mean((2, 3))


def test_a_good_encoder_passes() -> None:
    report = check_encoder(spec(Small))

    assert {o.id: o.status for o in report.outcomes if o.status != "passed"} == {"cheap_to_plan": "skipped"}


class Double(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).double()


class Infinite(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) / 0


class Pair(Small):
    def forward(self, images: torch.Tensor) -> Any:
        return super().forward(images), images


class AlwaysDropsOut(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(super().forward(images) + 1, 0.5, training=True)


class CentresTheBatch(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = super().forward(images)
        return features - features.mean(0)


class SeedsItself(Small):
    def __init__(self, pretrained: bool) -> None:
        super().__init__(pretrained)
        drawn = np.random.default_rng().normal(size=self.convolution.weight.shape)
        self.convolution.weight.data = torch.from_numpy(drawn.astype(np.float32))


class Blind(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(images), WIDTH)


class PositionsForFeatures(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images).mean((1, 2))  # (n, columns of patches)


class FixedSize(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[-1] != 224:
            raise ValueError("Input height (112) doesn't match model (224)")
        return super().forward(images)


class FromSomewhere(Small):
    def __init__(self, pretrained: bool) -> None:
        super().__init__(pretrained)
        if pretrained:
            urllib.request.urlopen("https://example.org/weights.safetensors")


class PhonesHome(Small):
    def __init__(self, pretrained: bool) -> None:
        super().__init__(pretrained)
        with suppress(OSError):
            socket.getaddrinfo("example.org", 443)


class WithoutGradients(Small):
    def __init__(self, pretrained: bool) -> None:
        super().__init__(pretrained)
        torch.set_grad_enabled(False)


class DrawsNoise(Small):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.rand(3)
        return super().forward(images)


@pytest.fixture
def as_it_was() -> Iterator[None]:
    enabled = torch.is_grad_enabled()
    yield
    torch.set_grad_enabled(enabled)


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize(
    ("encoder", "check", "sentence"),
    [
        (spec(Small, n_features=8), "features", "features have shape (3, 6); the spec's n_features gives (3, 8)"),
        (spec(Small, std=(0.2, 0.2, 0.0)), "features", "std is (0.2, 0.2, 0.0); channels are divided by it"),
        (spec(Small, mean=(0.5,), std=(0.5,)), "features", "mean and std need three values"),
        (spec(Double), "features", "features are float64; give float32"),
        (spec(Infinite), "features", "features are not finite"),
        (spec(Pair), "features", "it gives a tuple; return one tensor (n, n_features)"),
        (spec(AlwaysDropsOut), "repeatable", "dropout must follow module.training"),
        (spec(CentresTheBatch), "independent_of_batch", "are batch statistics used in evaluation?"),
        (spec(SeedsItself), "random_is_fixed", "draw weights from torch's global generator, which the loader seeds"),
        (spec(Blind), "sees_the_image", "patches that look different have the same features"),
        (
            spec(PositionsForFeatures, n_features=28),
            "uint8_patches_of_any_size",
            "for 3 patches of 112 px features",
        ),
        (spec(FromSomewhere, weights_repo=""), "weights_named", "pretrained weights are asked for at example.org"),
        (spec(PhonesHome), "no_network", "asked the network for example.org, with pretrained=False too"),
        (spec(WithoutGradients), "global_state", "left changed: torch's gradient mode"),
        (spec(DrawsNoise), "global_state", "left changed: torch's global random generator"),
    ],
    ids=lambda value: value.name if isinstance(value, EncoderSpec) else None,
)
def test_a_fault_fails_the_check_that_names_it_and_no_other(encoder: EncoderSpec, check: str, sentence: str) -> None:
    failed = failing(encoder)

    assert list(failed) == [check]
    assert sentence in failed[check]


@pytest.mark.parametrize(
    ("encoder", "check", "reason"),
    [
        (spec(FixedSize), "uint8_patches_of_any_size", "it takes no patches of 112 px: Input height (112) doesn't"),
        (spec(Small, weights_repo=""), "weights_named", "its weights come from no hub"),
    ],
)
def test_what_does_not_apply_is_skipped(encoder: EncoderSpec, check: str, reason: str) -> None:
    report = check_encoder(encoder, only=[check])

    assert [o.status for o in report.outcomes] == ["skipped"]
    assert report.outcomes[0].message.startswith(reason)


def test_a_licence_is_enough_where_no_hub_has_the_weights() -> None:
    report = check_encoder(spec(FromSomewhere, weights_repo="", licence="MIT"), only=["weights_named"])

    assert [o.status for o in report.outcomes] == ["passed"]


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("stbench.models.encoders", "importing stbench.models.encoders imports torch; name the encoder by an import"),
        ("no_such_module", "no_such_module cannot be imported"),
    ],
)
def test_a_plugin_module_that_costs_everyone(module: str, sentence: str) -> None:
    bound = {c.id: c for c in checks.of(EncoderSubject(spec(Small), [module]), "small")}

    assert sentence in bound["cheap_to_plan"].outcome().message


def test_a_registered_encoder_is_found_by_name() -> None:
    report = check_encoder("resnet18", only=["weights_named", "cheap_to_plan"])

    assert [o.status for o in report.outcomes] == ["passed", "passed"]


def test_a_failing_encoder_raises_with_its_checks_listed() -> None:
    with pytest.raises(ConformanceError, match=r"encoder blind fails 1 of 10 checks\n  sees_the_image: "):
        check_encoder(spec(Blind))
