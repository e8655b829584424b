"""Checks of encoders, in the order they run."""

from __future__ import annotations

from stbench.testing.encoder import surroundings  # registers its checks after those of features
from stbench.testing.encoder.features import checks
from stbench.testing.encoder.subject import EncoderSubject

__all__ = ["EncoderSubject", "checks", "surroundings"]
