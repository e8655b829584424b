"""What plugin authors import in their tests: small slides with an image, and the contract as a check."""

from __future__ import annotations

from stbench.testing.contract import check_model
from stbench.testing.slides import context, toy_slides

__all__ = ["check_model", "context", "toy_slides"]
