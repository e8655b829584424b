"""The page as one HTML text: template, style, scripts and data, nothing beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

ASSETS = files("stbench.report.page") / "assets"
SCRIPTS = (
    "dom.js", "state.js", "board.js", "charts.js", "ranks.js", "genes.js", "canvas.js", "maps.js",
    "checks.js", "main.js",
)  # fmt: skip
"""In the order in which they run."""


def render(content: Mapping[str, Any]) -> str:
    """Render what `page_content` gathered.

    Returns
    -------
    HTML that loads nothing from anywhere: its own content security policy forbids it.
    """
    from jinja2 import Environment, FunctionLoader, select_autoescape
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_read), autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        about=content["about"],
        tasks=content["tasks"],
        style=Markup(_read("page.css")),  # noqa: S704 our own files
        scripts=Markup("\n".join(_read(name) for name in SCRIPTS)),  # noqa: S704
        data=Markup(_embedded(content)),  # noqa: S704
    )


def _read(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _embedded(content: Mapping[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(_finite(content), separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
