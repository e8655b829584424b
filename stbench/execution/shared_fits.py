"""Fitted models that several cells of a command need: cells that differ in predict-stage parameters train once.

The first of them saves its model below ``fits/`` in the cache, the others load it; when the command ends it is removed.
What a later command is to have, ``--keep model`` keeps with the run.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stbench.matrix import Cell
from stbench.models import Model, Savable
from stbench.slides import Slide, cache

SECONDS = "seconds.json"


def fit_or_take(
    model: Model[Any], cell: Cell, cache_dir: Path, slides: tuple[Sequence[Slide], Sequence[Slide]]
) -> float:
    """Fit a model, or load what a cell with the same fit key fitted; of several processes one fits, the others wait.

    Parameters
    ----------
    slides
        Those to train on, and those to validate on.

    Returns
    -------
    float
        Seconds of training that were spent before.
    """
    from filelock import FileLock

    if not isinstance(model, Savable):
        model.context.report(f"{cell.model} has no save and load: trained again for each predict-stage parameter")
        model.fit(*slides)
        return float(model.reused_seconds)
    folder = _folder(cache_dir, cell.fit_key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        taken = _take(model, folder)
        if taken is not None:
            model.context.report(f"fit shared with another cell of this command ({taken:.1f} s of training)")
            return taken
        started = time.perf_counter()
        model.fit(*slides)
        reused = float(model.reused_seconds)
        _leave(model, folder, time.perf_counter() - started + reused)
        return reused


def forget_fits(cache_dir: Path, keys: Iterable[str]) -> None:
    """Remove the fitted models of a command that has ended."""
    for key in keys:
        folder = _folder(cache_dir, key)
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".lock").unlink(missing_ok=True)


def _folder(cache_dir: Path, key: str) -> Path:
    return cache_dir / "fits" / key


def _take(model: Savable, folder: Path) -> float | None:
    try:
        seconds = float(json.loads((folder / SECONDS).read_text()))
        cache.mark_used(folder / SECONDS)
        model.load(folder)
    except Exception:  # nobody was here yet, or what they left cannot be loaded: a plugin may raise anything
        return None
    return seconds


def _leave(model: Savable, folder: Path, seconds: float) -> None:
    partial = cache.temporary(folder)
    try:
        partial.mkdir()
        model.save(partial)
        (partial / SECONDS).write_text(json.dumps(seconds))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    except OSError:  # no room: the others train for themselves
        shutil.rmtree(partial, ignore_errors=True)
