from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stbench.slides import Slide
from stbench.testing import toy_slides
from stbench_pixnet.params import PixNetParams
from stbench_pixnet.plugin import SMOKE
from stbench_pixnet.training_tiles import MOST_TILES, SectionTiles, Steps, Tile, section_tiles


def tiny(**settings: Any) -> PixNetParams:
    return PixNetParams.model_validate(SMOKE | {"tile_px": 64, "train_halo_px": 0} | settings)


def of_size(slide: Slide, spot_um: float, keep: np.ndarray | None = None) -> Slide:
    """The same section measured with other spots."""
    part = slide if keep is None else slide.subset(keep)
    return Slide(part.adata, replace(slide.info, id=f"{slide.info.id}-{spot_um:g}", spot_um=spot_um), part.source)


def spots_of(tiles: Iterable[Tile]) -> list[bytes]:
    return sorted(row.tobytes() for tile in tiles for row in tile.target.numpy())


def all_tiles(sections: list[SectionTiles]) -> list[Tile]:
    return [section.tile(index) for section in sections for index in range(len(section))]


def steps(sections: list[SectionTiles], params: PixNetParams, seed: int = 0) -> list[list[Tile]]:
    return list(Steps(sections, params, torch.Generator().manual_seed(seed)))


def test_every_spot_is_on_one_tile_with_its_target(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=2)

    tiles = all_tiles(section_tiles(slides, tiny(), 32, "cpu"))

    assert len(tiles) > 2
    assert spots_of(tiles) == sorted(row.tobytes() for slide in slides for row in slide.target)
    for tile in tiles:
        height, width = tile.image.shape[:2]
        (spots,) = tile.footprints
        assert (spots.centers_px >= 0).all()
        assert (spots.centers_px <= (width, height)).all()


def test_a_tile_shows_what_lies_around_its_spots(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1)
    (section,) = section_tiles([slide], tiny(mpp=slide.mpp), 32, "cpu")

    for index in range(len(section)):
        tile = section.tile(index)
        (window, (rows,)) = section.tiles[index]
        x, y = slide.centers_px[rows[0]].astype(int)
        shown = tile.image[y - window.top, x - window.left]
        np.testing.assert_array_equal(shown, slide.image.read(x, y, 1, 1)[0, 0])


def test_spot_sizes_of_one_image_share_their_tiles(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1)
    sizes = [of_size(slide, 55.0), of_size(slide, 8.0, np.arange(10))]

    (section,) = section_tiles(sizes, tiny(), 32, "cpu")

    assert len(section.tiles) == len(section_tiles(sizes[:1], tiny(), 32, "cpu")[0].tiles)
    assert spots_of(all_tiles([section])) == sorted(row.tobytes() for s in sizes for row in s.target)
    assert {spots.size_px for tile in all_tiles([section]) for spots in tile.footprints} == {2.0, 13.75}


def test_sizes_have_equal_shares_of_a_tile_and_small_ones_leave_theirs(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1)
    few = of_size(slide, 8.0, np.arange(3))
    (section,) = section_tiles([slide, of_size(slide, 16.0), few], tiny(tile_px=640), 32, "cpu")
    drawn = torch.Generator().manual_seed(0)

    first, second = section.tile(0, 23, drawn), section.tile(0, 23, drawn)

    assert [len(spots.centers_px) for spots in first.footprints] == [10, 10, 3]
    assert len(first.target) == 23
    assert not torch.equal(first.target, second.target)


def test_an_epoch_sees_every_spot_once_in_steps_that_are_full_enough(tmp_path: Path) -> None:
    slides = toy_slides(tmp_path, patients=3)
    params = tiny(tiles_per_step=1)
    sections = section_tiles(slides, params, 32, "cpu")

    epoch = steps(sections, params)

    assert spots_of(tile for step in epoch for tile in step) == spots_of(all_tiles(sections))
    for step in epoch:
        assert len(step) <= MOST_TILES
        assert sum(len(tile.target) for tile in step) >= params.pcc_spots or len(step) >= MOST_TILES - 1


def test_the_seed_decides_the_order(tmp_path: Path) -> None:
    params = tiny()
    sections = section_tiles(toy_slides(tmp_path, patients=3), params, 32, "cpu")
    first, again, other = (
        torch.cat([tile.target for step in steps(sections, params, seed) for tile in step]) for seed in (0, 0, 1)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("keep", [[0], [0, 39]])
def test_a_section_with_hardly_a_spot_is_a_step(keep: list[int], tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1)
    params = tiny()

    epoch = steps(section_tiles([slide.subset(keep)], params, 32, "cpu"), params)

    assert spots_of(tile for step in epoch for tile in step) == sorted(row.tobytes() for row in slide.target[keep])
