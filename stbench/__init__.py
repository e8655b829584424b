"""stbench: a benchmark for spatial gene-expression prediction from H&E images."""

from __future__ import annotations

from stbench.versions import API_VERSION

__version__ = "0.1.0"

__all__ = ["API_VERSION", "__version__"]
