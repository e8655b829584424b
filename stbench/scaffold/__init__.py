"""New plugin projects from templates: ``stbench plugins new``."""

from __future__ import annotations

from stbench.scaffold.names import Kind
from stbench.scaffold.render import render

__all__ = ["Kind", "render"]
