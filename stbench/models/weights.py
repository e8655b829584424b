"""Finding out, before anything runs, that pretrained weights are neither cached nor reachable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stbench.errors import DataError
from stbench.registry import discover

TIMEOUT_S = 3.0
FILES = ("model.safetensors", "pytorch_model.bin")


def local_weights(encoder: str, cache_dir: Path) -> Path:
    """Where a safetensors file of an encoder's published weights can be put by hand."""
    return cache_dir / "weights" / f"{encoder}.safetensors"


def require_pretrained(encoder: str, cache_dir: Path) -> None:
    """Return if an encoder's published weights are in one of the caches or can be fetched.

    A registered encoder names its weight file; another timm model is looked up in timm, whose import takes seconds.

    Raises
    ------
    DataError
        Neither cached nor reachable: after one try of `TIMEOUT_S`, not after a minute of retries.
    """
    local = local_weights(encoder, cache_dir)
    if local.is_file():
        return
    url = _url(encoder)
    missing = _missing_at_url(url) if url else _missing_on_hub(encoder)
    if missing is None:
        return
    what, reason = missing
    raise DataError(
        f"encoder {encoder}: its pretrained weights are not here and {reason}. Put {what} at {local}, or "
        "give it with --set weights=FILE; go online once; or say --set weights=random (flagged in every table)"
    )


def missing_weights(parameters: Iterable[Mapping[str, Any]], cache_dir: Path) -> list[str]:
    """What `require_pretrained` says of the encoders that parameter sets name, each once; nothing if all are here."""
    asked = {p["encoder"] for p in parameters if p.get("weights") == "pretrained" and "encoder" in p}
    missing = []
    for encoder in sorted(asked):
        try:
            require_pretrained(encoder, cache_dir)
        except DataError as error:
            missing.append(str(error))
    return missing


def _missing_on_hub(encoder: str) -> tuple[str, str] | None:
    """Which file is missing, and why it cannot be had; None if it is here or can be."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    place = _hub_file(encoder)
    if place is None:
        return None  # unknown names and models without a hub file are the encoder loader's business
    repo, file = place
    if any(isinstance(try_to_load_from_cache(repo, name), str) for name in {file, *FILES}):
        return None
    if constants.HF_HUB_OFFLINE:
        return f"{file} of {repo}", "HF_HUB_OFFLINE is set"
    try:
        get_hf_file_metadata(hf_hub_url(repo, file), timeout=TIMEOUT_S)
    except Exception as error:  # the hub's client raises its own and its HTTP library's kinds
        return f"{file} of {repo}", _cannot_be_fetched(error)
    return None


def _missing_at_url(url: str) -> tuple[str, str] | None:
    """The same of a file that `torch.hub` fetches, without importing torch."""
    import requests

    file = url.rpartition("/")[2]
    if (_torch_home() / "hub" / "checkpoints" / file).is_file():
        return None
    try:
        requests.head(url, timeout=TIMEOUT_S, allow_redirects=True).raise_for_status()
    except requests.RequestException as error:
        return f"the weights of {file}, as safetensors,", _cannot_be_fetched(error)
    return None


def _torch_home() -> Path:
    """Where torch keeps what it downloads."""
    caches = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    return Path(os.environ.get("TORCH_HOME", caches / "torch")).expanduser()


def _cannot_be_fetched(error: Exception) -> str:
    return f"cannot be fetched ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"


def _url(encoder: str) -> str:
    return next((str(r.spec.weights_url) for r in discover().all("encoder") if r.spec.name == encoder), "")


def _hub_file(encoder: str) -> tuple[str, str] | None:
    for registered in discover().all("encoder"):
        spec = registered.spec
        if spec.name == encoder:
            return (spec.weights_repo, spec.weights_file) if spec.weights_repo else None
    import timm

    if not timm.is_model(encoder):
        return None
    config = timm.get_pretrained_cfg(encoder, allow_unregistered=True)
    repo = getattr(config, "hf_hub_id", None)
    return (str(repo), FILES[0]) if repo else None
