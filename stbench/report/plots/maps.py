"""Figures of tissue: truth and predictions of genes, regions beside labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stbench.report.fine_maps import FineMap
from stbench.report.overview import Box, overview, spot_radius_px
from stbench.report.palette import EXPRESSION, category_colour
from stbench.report.plots.style import WIDTH_MM, figure, without_axes
from stbench.report.region_maps import region_codes, region_map
from stbench.report.sections import Section
from stbench.slides import SlideInfo
from stbench.slides.regions import SlideImage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGE_PX = 1200
MM_A_CHARACTER = 1.6
OUTLIERS = (1, 99)
"""Percentiles of truth and predictions together between which a gene's colours run."""


def gene_maps(
    section: Section,
    genes: Sequence[str],
    names: Mapping[str, str],
    image: SlideImage | None,
    fine: Mapping[str, FineMap] | None = None,
) -> Figure:
    """A row per gene: the image, the truth, and what each model predicted, on one colour scale.

    Parameters
    ----------
    names
        What to call each variant drawn.
    image
        The section's H&E image, if it is here.
    fine
        What variants said between the spots, drawn beside what they said of them.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    box = Box.around(section.centers_px, spot_radius_px(section.info, section.centers_px))
    picture = None if image is None else overview(image, IMAGE_PX, box)
    fine = fine or {}
    columns = (picture is not None) + 1 + len(names) + len(fine)
    height = len(genes) * (WIDTH_MM - 15) / columns * box.height / box.width + 14 * len(genes)
    drawn, grid = figure(height, len(genes), columns, squeeze=False)
    for row, gene in zip(grid, genes, strict=True):
        i = section.genes.index(gene)
        layers = {"truth": section.truth[:, i]} | {names[key]: section.predictions[key][:, i] for key in names}
        r = {names[key]: section.gene_pcc(key)[i] for key in names}
        norm = Normalize(*np.nanpercentile(np.concatenate(list(layers.values())), OUTLIERS))
        axes = list(row)
        if picture is not None:
            without_axes(axes[0])
            axes[0].imshow(np.asarray(picture), extent=(box.left, box.left + box.width, box.top + box.height, box.top))
            axes[0].set_title("H&E")
            del axes[0]
        colours = ScalarMappable(norm, EXPRESSION)
        places = iter(axes)
        for title, values in layers.items():
            own = next(places)
            draw_spots(own, section.info, section.centers_px, box, colours.to_rgba(values), np.isfinite(values))
            own.set_title(
                titled(title, f"r {r[title]:.2f}", columns) if title in r else titled(f"{gene}: {title}", "", columns)
            )
        for key, found in fine.items():
            own = next(places)
            _squares(own, section, box, found, colours.to_rgba(found.values[gene]))
            own.set_title(titled(names[key], f"{found.side_um:.0f} µm", columns))
        drawn.colorbar(colours, ax=list(row), shrink=0.8, aspect=25, pad=0.01)
    return drawn


def regions(section: Section, labels: Sequence[str], names: Mapping[str, str]) -> Figure:
    """Annotated regions, clusters of the measured expression, and clusters of each prediction, with their ARI."""
    from matplotlib.lines import Line2D

    box = Box.around(section.centers_px, spot_radius_px(section.info, section.centers_px))
    panels: list[tuple[str, NDArray[np.int64]]] = [("annotation", region_codes(section, list(labels)))]
    for title, values in {"measured": section.truth, **{names[key]: section.predictions[key] for key in names}}.items():
        if found := region_map(section, list(labels), values):
            panels.append((titled(title, f"ARI {found.ari:.2f}", 2 + len(names)), found.codes))
    drawn, grid = figure(WIDTH_MM / len(panels) * box.height / box.width + 18, 1, len(panels), squeeze=False)
    palette = np.array([_rgba(i) for i in range(len(labels))])
    for axes, (title, codes) in zip(grid[0], panels, strict=True):
        draw_spots(axes, section.info, section.centers_px, box, palette[codes], codes >= 0)
        axes.set_title(title)
    marks = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=category_colour(i), label=label)
        for i, label in enumerate(labels)
    ]
    drawn.legend(handles=marks, loc="outside lower center", ncols=min(5, len(labels)), frameon=False, fontsize=7)
    return drawn


def titled(name: str, remark: str, columns: int) -> str:
    """Title of one of so many panels side by side; on several lines where it would reach into the next."""
    width = int(WIDTH_MM / columns / MM_A_CHARACTER)
    line = f"{name}, {remark}" if remark else name
    return line if len(line) <= width else "\n".join([*wrap(name, width), *([remark] if remark else [])])


def draw_spots(
    axes: Axes,
    info: SlideInfo,
    centers_px: NDArray[np.float64],
    box: Box,
    colours: NDArray[Any],
    shown: NDArray[np.bool_] | None = None,
) -> None:
    """Draw spots, or those of them that are `shown`, in colours of their own, (spots, 4)."""
    from matplotlib.collections import EllipseCollection

    size = 2 * spot_radius_px(info, centers_px)
    shown = np.ones(len(centers_px), bool) if shown is None else shown
    widths = np.full(int(shown.sum()), size)
    axes.add_collection(
        EllipseCollection(
            widths, widths, np.zeros_like(widths), units="xy", offsets=centers_px[shown],
            offset_transform=axes.transData, facecolors=colours[shown], linewidth=0,
        )
    )  # fmt: skip
    axes.set(xlim=(box.left, box.left + box.width), ylim=(box.top + box.height, box.top))
    without_axes(axes)


def _squares(axes: Axes, section: Section, box: Box, fine: FineMap, colours: NDArray[Any]) -> None:
    from matplotlib.collections import PolyCollection

    half = fine.side_um / (section.info.mpp or 1.0) / 2
    corners = half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    squares = fine.centers_px[:, None] + corners  # (points, 4, 2)
    axes.add_collection(PolyCollection(list(squares), facecolors=colours, linewidth=0, antialiased=False))
    axes.set(xlim=(box.left, box.left + box.width), ylim=(box.top + box.height, box.top))
    without_axes(axes)


def _rgba(index: int) -> tuple[float, float, float, float]:
    from matplotlib.colors import to_rgba

    return to_rgba(category_colour(index))
