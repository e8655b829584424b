"""Checks of datasets, in the order they run."""

from __future__ import annotations

from stbench.testing.dataset import loading, surroundings  # register their checks after those of metadata
from stbench.testing.dataset.metadata import checks
from stbench.testing.dataset.subject import N_SLIDES, DatasetSubject

__all__ = ["N_SLIDES", "DatasetSubject", "checks", "loading", "surroundings"]
