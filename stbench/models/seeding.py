"""Seeding every global generator for a while, and leaving it as it was found."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from stbench.models.contract import Context


@contextmanager
def seeded(context: Context) -> Iterator[None]:
    """Seed Python's, numpy's and (once imported) torch's global generators with `context.seed`; restore them after.

    Use it around ``fit``, and around ``predict`` if that draws, so that layers, dropout and shuffling depend on the
    seed alone, whatever ran before in this process::

        with seeded(self.context):
            self.network = Network(n_genes)
            train_module(...)
    """
    python, legacy = random.getstate(), np.random.get_state()
    random.seed(context.seed)
    np.random.seed(context.seed)
    try:
        with _torch_seeded(context):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


@contextmanager
def _torch_seeded(context: Context) -> Iterator[None]:
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    devices = [context.device] if context.device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(context.seed)
        yield
