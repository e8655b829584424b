"""Size, type and colours that all figures share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stbench.errors import UsageError
from stbench.report.palette import OKABE_ITO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM = 1 / 25.4
WIDTH_MM = 180
"""Two columns of a journal."""
FORMATS = ("svg", "pdf", "png")
CONTROL, METHOD, REFERENCE, BAND = "#7A818A", OKABE_ITO[0], "#B35900", "#E3EEF7"
STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "svg.hashsalt": "stbench",
    "pdf.fonttype": 42,
}


def figure(height_mm: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of journal width and its axes, without a display."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams.update(STYLE)  # type: ignore[arg-type]
    drawn = Figure(figsize=(WIDTH_MM * MM, height_mm * MM), layout="constrained")
    return drawn, drawn.subplots(rows, columns, **options)


def save(drawn: Figure, path: Path) -> None:
    """Write as the name's ending says; the same figure gives the same bytes.

    Raises
    ------
    UsageError
        Another ending than `FORMATS`, or a file that cannot be written.
    """
    kind = path.suffix.lstrip(".").lower()
    if kind not in FORMATS:
        raise UsageError(f"-o {path}: the name must end in one of {', '.join('.' + name for name in FORMATS)}")
    undated: Mapping[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, format=kind, metadata=dict(undated))
    except OSError as error:
        raise UsageError(f"-o {path} cannot be written ({error.strerror})") from error


def colour_of(variant: Mapping[str, Any]) -> str:
    """Controls are grey."""
    return CONTROL if variant["control"] else METHOD


def without_axes(axes: Axes) -> None:
    """Leave the picture alone."""
    axes.set_axis_off()
    axes.set_aspect("equal")
