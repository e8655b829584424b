"""Training tiles: the images of some slides, decoded once, and the spots of all sizes that lie on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stbench.slides import Slide
from stbench_pixnet.footprints import Footprints
from stbench_pixnet.params import PixNetParams
from stbench_pixnet.tiling import Canvas, SpotsOnCanvas, Window

MOST_TILES = 8
"""Tiles that a step takes at most to gather its spots."""


class Tile(NamedTuple):
    """A window of an image with the spots of its core.

    Attributes
    ----------
    image
        (height, width, 3) uint8.
    footprints
        One for each slide that has spots here: bin sizes of one section are several slides.
    target
        (spots, genes) in target units, slide after slide.
    measured
        (spots, genes) bool.
    """

    image: Tensor
    footprints: list[Footprints]
    target: Tensor
    measured: Tensor


class SectionTiles:
    """All tiles of one image that hold spots; its pixels stay on the device as bytes, each once.

    Parameters
    ----------
    slides
        Of this image; usually one.
    step
        Pixels per cell of the coarsest features.
    """

    def __init__(self, slides: Sequence[Slide], params: PixNetParams, step: int, device: str) -> None:
        canvas = Canvas(slides[0], params.mpp, step)
        self.device = device
        self.spots = [SpotsOnCanvas.of(slide, canvas, params.footprint) for slide in slides]
        self.targets = [(slide.target, slide.measured) for slide in slides]
        rows: dict[int, list[NDArray[np.int64]]] = {}
        for which, spots in enumerate(self.spots):
            for tile, found in canvas.occupied(spots.centers_px, params.tile_px):
                rows.setdefault(tile, [np.empty(0, np.int64)] * len(slides))[which] = found
        halo = max(spots.reach for spots in self.spots) + params.train_halo_px
        self.tiles = [(canvas.tile(tile, params.tile_px, halo), found) for tile, found in sorted(rows.items())]
        self.pixels, self.origin = self._pixels(canvas)

    def __len__(self) -> int:
        return len(self.tiles)

    def n_spots(self, index: int) -> int:
        """Spots of a tile."""
        return sum(map(len, self.tiles[index][1]))

    def tile(self, index: int, most: int | None = None, generator: torch.Generator | None = None) -> Tile:
        """One tile with all its spots, or with `most` of them, drawn so that each spot size has its share."""
        window, rows = self.tiles[index]
        if most is not None:
            rows = _sample(rows, most, generator)
        left, top = window.left - self.origin[0], window.top - self.origin[1]
        width, height = window.size
        seen = [which for which, found in enumerate(rows) if len(found)]
        target, measured = (
            torch.from_numpy(np.concatenate([self.targets[which][part][rows[which]] for which in seen]))
            for part in (0, 1)
        )
        return Tile(
            self.pixels[top : top + height, left : left + width],
            [self.spots[which].on(window, rows[which]) for which in seen],
            target.to(self.device),
            measured.to(self.device),
        )

    def _pixels(self, canvas: Canvas) -> tuple[Tensor, tuple[int, int]]:
        """What the windows show, (height, width, 3) uint8, and its left and top on the canvas."""
        windows = [window for window, _ in self.tiles]
        left, top = min(w.left for w in windows), min(w.top for w in windows)
        right, bottom = max(w.right for w in windows), max(w.bottom for w in windows)
        pixels = torch.empty((bottom - top, right - left, 3), dtype=torch.uint8, device=self.device)
        strip = canvas.rounded(256)
        for start in range(top, bottom, strip):
            part = canvas.read(Window(left, start, right, min(start + strip, bottom)))
            pixels[start - top : start - top + len(part)] = torch.from_numpy(part.copy())
        return pixels, (left, top)


class Steps:
    """Training steps of an epoch: each a few tiles in an order of their own, or more where spots are few.

    Parameters
    ----------
    sections
        Of all training slides.
    generator
        Draws order and spots.
    """

    def __init__(self, sections: Sequence[SectionTiles], params: PixNetParams, generator: torch.Generator) -> None:
        self.sections = sections
        self.params = params
        self.generator = generator
        self.places = [(section, index) for section in sections for index in range(len(section))]

    def __iter__(self) -> Iterator[list[Tile]]:
        for step in self._steps():
            yield [
                section.tile(index, self.params.spots_per_tile, self.generator)
                for section, index in (self.places[place] for place in step)
            ]

    def _steps(self) -> list[list[int]]:
        """Places of each step; what is left at the end joins the last step if its spots are few."""
        p, steps, current, spots = self.params, [], [], 0
        for place in torch.randperm(len(self.places), generator=self.generator).tolist():
            section, index = self.places[place]
            current.append(place)
            spots += min(section.n_spots(index), p.spots_per_tile)
            if len(current) >= MOST_TILES or (len(current) >= p.tiles_per_step and spots >= p.pcc_spots):
                steps.append(current)
                current, spots = [], 0
        if current and steps and spots < p.pcc_spots and len(current) + len(steps[-1]) <= MOST_TILES:
            steps[-1].extend(current)
        elif current:
            steps.append(current)
        return steps


def section_tiles(slides: Sequence[Slide], params: PixNetParams, step: int, device: str) -> list[SectionTiles]:
    """Tiles of each image; slides of one image at one scale are one section."""
    sections: dict[tuple[str, float], list[Slide]] = defaultdict(list)
    for slide in slides:
        sections[str(slide.image.path), slide.mpp].append(slide)
    return [SectionTiles(together, params, step, device) for together in sections.values()]


def _sample(rows: list[NDArray[np.int64]], most: int, generator: torch.Generator | None) -> list[NDArray[np.int64]]:
    """At most so many rows in all; what sizes of few spots leave of their share goes to the others."""
    if sum(map(len, rows)) <= most:
        return rows
    sampled, left = list(rows), most
    order = sorted(range(len(rows)), key=lambda which: len(rows[which]))
    for done, which in enumerate(order):
        share = min(len(rows[which]), left // (len(order) - done))
        chosen = torch.randperm(len(rows[which]), generator=generator)[:share].sort().values
        sampled[which] = rows[which][chosen.numpy()]
        left -= share
    return sampled
