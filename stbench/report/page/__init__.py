"""One self-contained page of everything a store can tell: no network, opens from disk."""

from __future__ import annotations

from stbench.report.page.content import page_content
from stbench.report.page.maps import Limits
from stbench.report.page.render import render

__all__ = ["Limits", "page_content", "render"]
