"""Image encoders by name: a registered `EncoderSpec`, or any timm model. Random weights are never a silent fallback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

from stbench.errors import DataError, UsageError
from stbench.models.contract import Weights
from stbench.registry import EncoderSpec, discover
from stbench.slides import cache

RANDOM_SEED = 0
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Encoder:
    """A frozen encoder.

    Attributes
    ----------
    module
        Takes (n, 3, h, w) normalised images, returns (n, n_features).
    identity
        Names encoder and weights: part of the address of cached embeddings.
    mean, std
        Channel statistics for RGB in 0–1.
    """

    module: torch.nn.Module
    n_features: int
    identity: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Embed (n, h, w, 3) uint8 patches on their device, (n, n_features)."""
        mean = torch.tensor(self.mean, device=patches.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=patches.device).view(3, 1, 1)
        images = patches.permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)  # (n, 3, h, w)
        features: torch.Tensor = self.module(images)
        return features


def load_encoder(encoder: str | EncoderSpec, weights: Weights, cache_dir: Path) -> Encoder:
    """Build an encoder, frozen and in evaluation mode.

    Parameters
    ----------
    encoder
        A registered name, a timm model, or a spec.

    Raises
    ------
    UsageError
        The name is neither registered nor known to timm, or offered by several plugins.
    DataError
        The weights cannot be had or do not fit.
    """
    name, spec = (encoder.name, encoder) if isinstance(encoder, EncoderSpec) else (encoder, _registered(encoder))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        module, n_features, mean, std, tag = _build(name, spec, weights == "pretrained")
    identity = f"{name}:{tag if weights == 'pretrained' else f'random-{RANDOM_SEED}'}"
    if isinstance(weights, Path):
        _load_file(module, weights)
        identity = f"{name}:{cache.sha256(weights, cache_dir)}"
    module.eval().requires_grad_(False)
    return Encoder(module, n_features, identity, mean, std)


def _registered(name: str) -> EncoderSpec | None:
    plugins = discover()
    if name.rpartition(":")[2] not in plugins.names("encoder"):
        return None
    spec: EncoderSpec = plugins.get("encoder", name).spec
    return spec


def _build(name: str, spec: EncoderSpec | None, pretrained: bool) -> tuple[torch.nn.Module, int, Any, Any, str]:
    import timm

    if spec is None and not timm.is_model(name):
        known = ", ".join(r.spec.name for r in discover().all("encoder"))
        raise UsageError(f"unknown encoder {name!r}: neither registered ({known}) nor a timm model")
    try:
        if spec is not None:
            module = spec.load()(pretrained)
            return module, spec.n_features, spec.mean, spec.std, spec.weights_repo
        network: Any = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except Exception as error:  # the hub client raises many kinds
        raise DataError(
            f"encoder {name}: the pretrained weights cannot be had ({type(error).__name__}: {error}). Go online once, "
            "give a safetensors file with --set weights=FILE, or say --set weights=random"
        ) from error
    config = network.pretrained_cfg
    mean, std = config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_STD)
    return network, int(network.num_features), mean, std, str(config.get("hf_hub_id") or config.get("url"))


def _load_file(module: torch.nn.Module, path: Path) -> None:
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(path))
    except Exception as error:  # safetensors and torch raise their own kinds
        reason = shorten(str(error), 300)  # torch lists every key
        raise DataError(f"{path} does not fit the encoder: {reason}; give a safetensors file of this model") from error
