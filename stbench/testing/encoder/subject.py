"""An encoder under check: loaded with random weights, watched, given a few patches."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.registry import EncoderSpec
from stbench.testing.watch import Seen, watching

if TYPE_CHECKING:
    from stbench.models.encoders import Encoder

PIXELS = 224
"""The size every image encoder takes."""
PATCHES = 3

Patches = NDArray[np.uint8]
Features = NDArray[Any]


class EncoderSubject:
    """An encoder's spec, and what it gives for a few patches.

    Parameters
    ----------
    plugin_modules
        Modules of the entry points that registered the spec.

    Attributes
    ----------
    seen
        What it did outside of its business while it was loaded and embedded.
    seen_again
        The same of another one: by then everything it needs has been imported.
    """

    def __init__(self, spec: EncoderSpec, plugin_modules: Sequence[str] = ()) -> None:
        self.spec = spec
        self.plugin_modules = tuple(plugin_modules)
        self.seen = Seen()
        self.seen_again = Seen()
        self._scratch = tempfile.TemporaryDirectory(prefix="stbench-check-")

    @property
    def cache(self) -> Path:
        """The cache it is loaded with."""
        return Path(self._scratch.name) / "cache"

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder with random weights."""
        return self.load(self.seen)

    @cached_property
    def twin(self) -> Encoder:
        """The same, loaded once more."""
        return self.load(self.seen_again)

    def load(self, seen: Seen) -> Encoder:
        """Load it with random weights."""
        from stbench.models.encoders import load_encoder

        _ = self.spec.load()  # imported before anything is watched
        with watching(seen, [self.cache]):
            return load_encoder(self.spec, "random", self.cache)

    @cached_property
    def patches(self) -> Patches:
        """Patches that look different, (patches, side, side, 3)."""
        return tissue(PIXELS)

    @cached_property
    def features(self) -> Features:
        """What `encoder` gives for `patches`."""
        return self.embed(self.encoder, self.patches, self.seen)

    def embed(self, encoder: Encoder, patches: Patches, seen: Seen | None = None) -> Features:
        """Embed patches as the harness does, without gradients."""
        import torch

        with watching(seen or Seen(), [self.cache]), torch.inference_mode():
            found = encoder(torch.from_numpy(patches.copy()))
        assert isinstance(found, torch.Tensor), f"it gives a {type(found).__name__}; return one tensor (n, n_features)"
        return np.asarray(found.numpy())


def tissue(pixels: int) -> Patches:
    """Patches with cells of different size and stain, (patches, pixels, pixels, 3)."""
    y, x = np.mgrid[:pixels, :pixels] / pixels
    cells = np.stack([np.sin(x * period) * np.sin(y * period) for period in (10.0, 25.0, 60.0)[:PATCHES]])
    stain = np.array([[200, 120, 180], [230, 160, 200], [150, 90, 160]], np.float64)[:PATCHES]
    images = stain[:, None, None] * (0.75 + 0.25 * cells[..., None])  # (patches, pixels, pixels, 3)
    return images.clip(0, 255).astype(np.uint8)
