"""Thumbnails of imported slides with their spots drawn on: a wrong scale is seen at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stbench.report.overview import overview
from stbench.slides import Slide

SIDE = 700
GAP = 12


def contact_sheet(slides: Sequence[Slide], path: Path) -> None:
    """Write one PNG with a thumbnail per slide, spots coloured by their counts (blue few, yellow many)."""
    from PIL import Image

    tiles = [_thumbnail(slide) for slide in slides]
    columns = min(4, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (SIDE + GAP), rows * (SIDE + GAP)), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(tile, ((i % columns) * (SIDE + GAP), (i // columns) * (SIDE + GAP)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")


def _thumbnail(slide: Slide):  # type: ignore[no-untyped-def]
    from matplotlib import colormaps
    from PIL import ImageDraw

    image = slide.image
    picture = overview(image, SIDE)
    scale = picture.width / image.size[0]
    draw = ImageDraw.Draw(picture)
    counts = np.asarray(slide.adata.X.sum(axis=1)).ravel()
    share = np.argsort(np.argsort(counts)) / max(1, len(counts) - 1)
    radius = max(1.5, slide.info.spot_um / slide.mpp / 2 * scale)
    for (x, y), rgba in zip(slide.centers_px * scale, colormaps["cividis"](share), strict=True):
        colour = tuple(int(255 * c) for c in rgba[:3])
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour)
    draw.text((8, 8), slide.info.id, fill="black")
    return picture
