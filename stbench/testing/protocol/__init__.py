"""Checks of protocols, in the order they run."""

from __future__ import annotations

from stbench.testing.protocol import target  # registers its checks after those of folds
from stbench.testing.protocol.splitting import checks
from stbench.testing.protocol.subject import ProtocolSubject

__all__ = ["ProtocolSubject", "checks", "target"]
