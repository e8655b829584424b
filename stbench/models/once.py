"""A training stage that later stages build on: trained once per fold, and kept in the cache by content."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stbench.models.contract import Context
from stbench.slides import Slide, cache


@dataclass(frozen=True)
class Stage:
    """Weights of a trained stage.

    Attributes
    ----------
    weights
        On the CPU, by name.
    seconds
        Wall time its training took, now or when it was trained.
    reused
        It was trained before.
    """

    weights: dict[str, Tensor]
    seconds: float
    reused: bool


def trained_once(
    name: str,
    what: Mapping[str, Any],
    train: Sequence[Slide],
    validation: Sequence[Slide],
    context: Context,
    fit: Callable[[], Mapping[str, Tensor]],
) -> Stage:
    """Train a stage, or take it from the cache if the same was trained on the same slides before.

    Its address is everything the weights depend on: `what`, the slides' images, spots, targets and masks, precision,
    compilation, kind of device and version of torch. Of several processes one trains and the others wait for it.

    Parameters
    ----------
    name
        Of the stage and its version; raise it when the same parameters would give other weights.
    what
        Its parameters and its own seed as JSON values; files by content.
    fit
        Trains, and returns the weights to keep.
    """
    from filelock import FileLock

    key = _address(name, what, train, validation, context)
    path = context.cache_dir / "stages" / key[:2] / f"{key}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        found = _read(path)
        if found is not None:
            cache.mark_used(path)
            context.report(f"{name}: trained before on these slides ({found.seconds:.1f} s), taken from the cache")
            return found
        context.report(f"{name}: training")
        started = time.perf_counter()
        weights = {k: v.detach().cpu().contiguous() for k, v in fit().items()}
        stage = Stage(weights, time.perf_counter() - started, reused=False)
        context.report(f"{name}: trained in {stage.seconds:.1f} s")
        _write(path, stage)
    return stage


def _address(
    name: str, what: Mapping[str, Any], train: Sequence[Slide], validation: Sequence[Slide], context: Context
) -> str:
    stated = {
        "stage": name,
        "what": dict(what),
        "precision": context.precision,
        "compile": context.compile,
        "device": torch.device(context.device).type,
        "torch": torch.__version__,
        "train": [_content(slide) for slide in train],
        "validation": [_content(slide) for slide in validation],
    }
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def _content(slide: Slide) -> str:
    digest = hashlib.sha256()
    digest.update((slide.source.digest if slide.source else "").encode())
    digest.update(json.dumps([slide.info.mpp, slide.info.spot_um, list(slide.adata.var_names)]).encode())
    for values in (slide.centers_px, slide.array_positions, slide.target, np.packbits(slide.measured)):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _read(path: Any) -> Stage | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            seconds = float((file.metadata() or {})["seconds"])
            return Stage({k: file.get_tensor(k) for k in file.keys()}, seconds, reused=True)  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError):  # not there, cut off, or of something else
        return None


def _write(path: Any, stage: Stage) -> None:
    from safetensors.torch import save_file

    partial = cache.temporary(path)
    try:
        save_file(stage.weights, partial, metadata={"seconds": repr(stage.seconds)})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
