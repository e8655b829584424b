"""Image encoders by name: a registered `EncoderSpec`, or any timm model. Random weights are never a silent fallback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

from stbench.errors import DataError, UsageError
from stbench.models.contract import Weights
from stbench.models.weights import local_weights
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


def load_encoder(
    encoder: str | EncoderSpec, weights: Weights, cache_dir: Path, *, pixels: int | None = None
) -> Encoder:
    """Build an encoder, frozen and in evaluation mode.

    Parameters
    ----------
    encoder
        A registered name, a timm model, or a spec.
    weights
        ``pretrained`` looks for the file that `local_weights` names before it asks the hub.
    pixels
        Patch side, for timm's models of fixed input size: their position embeddings are resampled. None: their own.

    Raises
    ------
    UsageError
        The name is neither registered nor known to timm, or offered by several plugins.
    DataError
        The weights cannot be had or do not fit.
    """
    name, spec = (encoder.name, encoder) if isinstance(encoder, EncoderSpec) else (encoder, _registered(encoder))
    if weights == "pretrained" and local_weights(name, cache_dir).is_file():
        weights = local_weights(name, cache_dir)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        module, n_features, mean, std, tag = _build(name, spec, weights, pixels)
    identity = f"{name}:{tag if weights == 'pretrained' else f'random-{RANDOM_SEED}'}"
    if isinstance(weights, Path):
        identity = f"{name}:{cache.sha256(weights, cache_dir)}"
    module.eval().requires_grad_(False)
    return Encoder(module, n_features, identity, mean, std)


def _registered(name: str) -> EncoderSpec | None:
    plugins = discover()
    if name.rpartition(":")[2] not in plugins.names("encoder"):
        return None
    spec: EncoderSpec = plugins.get("encoder", name).spec
    return spec


def _build(
    name: str, spec: EncoderSpec | None, weights: Weights, pixels: int | None
) -> tuple[torch.nn.Module, int, Any, Any, str]:
    import timm

    if spec is None and not timm.is_model(name):
        known = ", ".join(r.spec.name for r in discover().all("encoder"))
        raise UsageError(f"unknown encoder {name!r}: neither registered ({known}) nor a timm model")
    try:
        if spec is not None:
            module: Any = spec.load()(weights == "pretrained")
        else:
            size: dict[str, Any] = {"img_size": pixels} if pixels and _fixed_size(name) else {}
            module = timm.create_model(name, pretrained=weights == "pretrained", num_classes=0, **size)
    except Exception as error:  # the hub client raises many kinds
        raise DataError(
            f"encoder {name}: the pretrained weights cannot be had ({type(error).__name__}: {error}). Go online once, "
            "give a safetensors file with --set weights=FILE, or say --set weights=random"
        ) from error
    if isinstance(weights, Path):
        _load_file(module, weights)
    if spec is not None:
        return module, spec.n_features, spec.mean, spec.std, spec.weights_repo
    config = module.pretrained_cfg
    mean, std = config.get("mean", IMAGENET_MEAN), config.get("std", IMAGENET_STD)
    return module, int(module.num_features), mean, std, str(config.get("hf_hub_id") or config.get("url"))


def _fixed_size(name: str) -> bool:
    import timm

    return bool(getattr(timm.get_pretrained_cfg(name, allow_unregistered=True), "fixed_input_size", False))


def _load_file(module: torch.nn.Module, path: Path) -> None:
    """Load what the module needs of a file; it may hold more, such as the classifier of a published model."""
    from safetensors.torch import load_file

    try:
        stated = load_file(path)
        wanted = module.state_dict()
        # a wrapper such as `PooledStage` holds the published network as its only child
        for prefix in ("", *(f"{name}." for name, _ in module.named_children())):
            state = {key: stated.get(key.removeprefix(prefix)) for key in wanted}
            if all(value is not None for value in state.values()):
                break
        module.load_state_dict({k: _resampled(k, v, wanted[k], module) for k, v in state.items() if v is not None})
    except Exception as error:  # safetensors and torch raise their own kinds
        reason = shorten(str(error), 300)  # torch lists every key
        raise DataError(f"{path} does not fit the encoder: {reason}; give a safetensors file of this model") from error


def _resampled(key: str, value: torch.Tensor, wanted: torch.Tensor, module: torch.nn.Module) -> torch.Tensor:
    """Position embeddings of another patch grid, as timm resamples them; everything else as it is."""
    if key != "pos_embed" or value.shape == wanted.shape:
        return value
    from timm.layers import pos_embed

    network: Any = module
    grid, n_prefix = list(network.patch_embed.grid_size), int(network.num_prefix_tokens)
    resampled: torch.Tensor = pos_embed.resample_abs_pos_embed(value, grid, num_prefix_tokens=n_prefix)
    return resampled
