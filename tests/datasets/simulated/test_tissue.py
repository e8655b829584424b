"""The simulated sections: geometry of the array, agreement of the image with what is under the spots."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.spatial import cKDTree
from skimage.color import rgb2hed

from stbench.datasets.simulated.tissue import REGIONS, Tissue, grow_tissue

SPOT_RADIUS_PX = 27.5


@pytest.fixture(scope="module")
def sections() -> dict[tuple[int, int], Tissue]:
    """Two sections each of two patients."""
    return {(patient, section): grow_tissue(patient, section) for patient, section in product((0, 1), (0, 1))}


@pytest.fixture(scope="module")
def tissue(sections) -> Tissue:
    return sections[0, 0]


def test_same_arguments_give_same_bytes(tissue):
    again = grow_tissue(0, 0)

    assert again.image.tobytes() == tissue.image.tobytes()
    assert again.centers_px.tobytes() == tissue.centers_px.tobytes()
    assert again.nuclei_per_spot.tobytes() == tissue.nuclei_per_spot.tobytes()
    assert again.region.tolist() == tissue.region.tolist()


def test_seed_changes_the_section(tissue):
    assert (grow_tissue(0, 0, seed=1).image != tissue.image).mean() > 0.5


def test_shapes_and_types(tissue):
    n = len(tissue.centers_px)

    assert tissue.image.dtype == np.uint8
    assert tissue.image.shape == (1280, 1280, 3)
    assert tissue.mpp == 1.0
    assert tissue.centers_px.dtype == np.float64
    assert tissue.centers_px.shape == (n, 2)
    assert np.issubdtype(tissue.array_row.dtype, np.integer)
    assert np.issubdtype(tissue.array_col.dtype, np.integer)
    assert tissue.nuclei_per_spot.dtype == np.float64
    for per_spot in (tissue.array_row, tissue.array_col, tissue.region, tissue.nuclei_per_spot):
        assert per_spot.shape == (n,)


def test_about_250_spots_each(sections):
    assert all(220 <= len(tissue.centers_px) <= 280 for tissue in sections.values())


def test_array_follows_visium_convention(tissue):
    row, col = tissue.array_row, tissue.array_col

    assert ((row + col) % 2 == 0).all()
    assert len(set(zip(row, col, strict=True))) == len(row)
    steps = tissue.centers_px - tissue.centers_px[0]
    np.testing.assert_allclose(steps[:, 0], (col - col[0]) * 37.5)
    np.testing.assert_allclose(steps[:, 1], (row - row[0]) * 75 * np.sqrt(3) / 2)


def test_pitch_is_75_um_in_six_directions(tissue):
    tree = cKDTree(tissue.centers_px * tissue.mpp)

    nearest, _ = tree.query(tissue.centers_px, k=2)
    neighbours = tree.query_ball_point(tissue.centers_px, 75.1, return_length=True) - 1

    np.testing.assert_allclose(nearest[:, 1], 75)
    assert neighbours.max() == 6
    assert np.median(neighbours) == 6


def test_spots_lie_inside_image(sections):
    for tissue in sections.values():
        height, width = tissue.image.shape[:2]
        assert tissue.centers_px.min() >= SPOT_RADIUS_PX
        assert (tissue.centers_px.max(axis=0) <= np.array([width - 1, height - 1]) - SPOT_RADIUS_PX).all()


def test_every_section_has_every_region(sections):
    assert all(set(tissue.region) == set(REGIONS) for tissue in sections.values())


def test_nuclei_crowd_in_immune_and_thin_out_in_adipose(sections):
    for tissue in sections.values():
        density = {name: tissue.nuclei_per_spot[tissue.region == name].mean() for name in REGIONS}
        assert density["immune"] > density["tumour"] > density["stroma"] > density["adipose"]


def test_image_shows_the_nuclei(sections):
    for tissue in sections.values():
        haematoxylin = _haematoxylin_per_spot(tissue)
        in_adipose = haematoxylin[tissue.region == "adipose"].mean()
        assert haematoxylin[tissue.region == "immune"].mean() > 1.5 * in_adipose
        assert haematoxylin[tissue.region == "tumour"].mean() > 1.2 * in_adipose
        assert np.corrcoef(haematoxylin, tissue.nuclei_per_spot)[0, 1] > 0.6


def test_glass_around_the_tissue_is_bright_and_colourless(tissue):
    corners = np.stack([tissue.image[y, x] for y, x in product((3, -4), (3, -4))]).astype(float)

    assert corners.min() > 215
    assert np.ptp(corners.mean(axis=0)) < 15


def test_sections_of_a_patient_share_layout_but_not_nuclei(sections):
    sisters = [_agreement(sections[p, 0], sections[p, 1]) for p in (0, 1)]
    strangers = [_agreement(sections[0, s], sections[1, t]) for s, t in product((0, 1), (0, 1))]

    assert min(sisters) > 0.6
    assert min(sisters) > max(strangers) + 0.15
    assert (sections[0, 0].image != sections[0, 1].image).mean() > 0.5


def _haematoxylin_per_spot(tissue: Tissue) -> np.ndarray:
    stain = rgb2hed(tissue.image)[..., 0]
    corners = (tissue.centers_px - SPOT_RADIUS_PX).round().astype(int)
    return np.array([stain[y : y + 55, x : x + 55].mean() for x, y in corners])


def _agreement(one: Tissue, other: Tissue) -> float:
    """Share of the array positions in both sections whose region is the same."""
    mine, theirs = (
        {(row, col): region for row, col, region in zip(t.array_row, t.array_col, t.region, strict=True)}
        for t in (one, other)
    )
    return float(np.mean([mine[spot] == theirs[spot] for spot in mine.keys() & theirs.keys()]))
