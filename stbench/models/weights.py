"""Finding out, before anything runs, that pretrained weights are neither cached nor reachable."""

from __future__ import annotations

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
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

    place = _hub_file(encoder)
    local = local_weights(encoder, cache_dir)
    if place is None or local.is_file():
        return  # unknown names and models without a hub file are the encoder loader's business
    repo, file = place
    if any(isinstance(try_to_load_from_cache(repo, name), str) for name in {file, *FILES}):
        return
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE is set"
    else:
        try:
            get_hf_file_metadata(hf_hub_url(repo, file), timeout=TIMEOUT_S)
            return
        except Exception as error:  # the hub's client raises its own and its HTTP library's kinds
            reason = f"cannot be fetched ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
    raise DataError(
        f"encoder {encoder}: its pretrained weights are not here and {reason}. Put {file} of {repo} at {local}, or "
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
