"""Checks of models, in the order they run."""

from __future__ import annotations

from stbench.testing.model import honesty  # registers its checks after those of fitting
from stbench.testing.model.fitting import checks
from stbench.testing.model.subject import ModelSubject

__all__ = ["ModelSubject", "checks", "honesty"]
