"""Protocols: everything that turns a dataset into a prediction task."""

from __future__ import annotations

from stbench.protocols.folds import Block, Fold, Part
from stbench.protocols.protocol import FittedProtocol, Need, Protocol
from stbench.protocols.steps import Step

__all__ = ["Block", "FittedProtocol", "Fold", "Need", "Part", "Protocol", "Step"]
