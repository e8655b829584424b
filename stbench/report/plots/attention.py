"""Figure of attention: which spots of a section a spot looks at."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stbench.errors import UsageError
from stbench.report.overview import Box, overview, spot_radius_px
from stbench.report.palette import EXPRESSION
from stbench.report.plots.maps import IMAGE_PX, draw_spots
from stbench.report.plots.style import WIDTH_MM, figure
from stbench.slides import Slide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Heads = NDArray[np.float32]
"""Attention of a spot to all spots, by layer and head, (layers, heads, spots)."""
VEIL = 0.35
"""How much of the tissue is left to see under the spots."""


def pick(attention: Heads, layers: Sequence[int], heads: Sequence[int]) -> dict[str, NDArray[np.float32]]:
    """What is asked for of a spot's attention, (spots,) by what it is called.

    Parameters
    ----------
    layers, heads
        Counted from 1; no layer stands for the last, no head for the mean of all.

    Raises
    ------
    UsageError
        A layer or head that is not there.
    """
    n_layers, n_heads, _ = attention.shape
    for what, asked, there in (("layer", layers, n_layers), ("head", heads, n_heads)):
        if bad := [number for number in asked if not 1 <= number <= there]:
            raise UsageError(f"--{what} {bad[0]}: the model has {what}s 1 to {there}")
    found = {}
    for layer in layers or (n_layers,):
        of_layer = attention[layer - 1]
        if not heads:
            found[f"layer {layer}, mean of {n_heads} heads"] = of_layer.mean(0)
        found |= {f"layer {layer}, head {head}": of_layer[head - 1] for head in heads}
    return found


def central_spot(slide: Slide) -> int:
    """The spot nearest to the middle of all."""
    centers = slide.centers_px
    return int(np.linalg.norm(centers - centers.mean(0), axis=1).argmin())


def attention_maps(slide: Slide, spot: int, shown: dict[str, NDArray[np.float32]], columns: int) -> Figure:
    """Spots of a slide coloured by how much `spot` (ringed) attends to them, over the H&E image.

    Parameters
    ----------
    shown
        From `pick`.
    columns
        Panels in a row.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    radius = spot_radius_px(slide.info, slide.centers_px)
    box = Box.around(slide.centers_px, radius)
    picture = np.asarray(overview(slide.image, IMAGE_PX, box))
    rows = -(-len(shown) // columns)
    height = rows * ((WIDTH_MM / columns - 12) * box.height / box.width + 10)
    drawn, grid = figure(height, rows, columns, squeeze=False)
    for axes in grid.ravel()[len(shown) :]:
        axes.set_visible(False)
    for axes, (title, weights) in zip(grid.ravel(), shown.items(), strict=False):
        extent = (box.left, box.left + box.width, box.top + box.height, box.top)
        axes.imshow(picture, extent=extent, alpha=VEIL)
        colours = ScalarMappable(Normalize(0, float(weights.max()) or 1.0), EXPRESSION)
        draw_spots(axes, slide.info, slide.centers_px, box, colours.to_rgba(weights))
        _ring(axes, slide.centers_px[spot], radius)
        axes.set_title(title)
        drawn.colorbar(colours, ax=axes, shrink=0.7, aspect=25, pad=0.01)
    return drawn


def write_attention(slide: Slide, shown: dict[str, NDArray[np.float32]], path: Path) -> None:
    """Write the weights as a table: a row per spot with its place, a column per layer and head.

    Raises
    ------
    UsageError
        A file that cannot be written.
    """
    places = np.column_stack([slide.centers_px, slide.array_positions])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["spot", "x_px", "y_px", "array_row", "array_col", *shown])
            for name, place, weights in zip(
                slide.adata.obs_names, places, zip(*shown.values(), strict=True), strict=True
            ):
                table.writerow([name, *place.tolist(), *(float(weight) for weight in weights)])
    except OSError as error:
        raise UsageError(f"-o {path} cannot be written ({error.strerror})") from error


def _ring(axes: Axes, center: NDArray[np.float64], radius: float) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle(center.tolist(), 1.8 * radius, fill=False, edgecolor="black", linewidth=1.2))
