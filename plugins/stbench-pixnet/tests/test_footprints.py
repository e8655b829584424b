from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from stbench_pixnet import footprints
from stbench_pixnet.footprints import Footprints, disk_stencils, pool

ROWS, COLUMNS = 6, 9
Shape = Literal["disk", "square"]


def enlarged(features: torch.Tensor, stride: int) -> torch.Tensor:
    """(channels, rows, columns) → the image's size, as torch does it."""
    return interpolate(features[None].double(), scale_factor=stride, mode="bilinear", align_corners=False)[0]


def mask(center: np.ndarray, size: float, shape: Shape, width: int, height: int) -> np.ndarray:
    """Pixels of a footprint, one by one, (height, width)."""
    inside = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            dx, dy = x + 0.5 - center[0], y + 0.5 - center[1]
            if shape == "disk":
                inside[y, x] = dx**2 + dy**2 <= (size / 2) ** 2
            else:
                inside[y, x] = -size / 2 <= dx < size / 2 and -size / 2 <= dy < size / 2
    if not inside.any():
        x, y = np.clip(np.floor(center), 0, (width - 1, height - 1)).astype(int)
        inside[y, x] = True
    return inside


def brute_force(features: torch.Tensor, spots: Footprints, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    whole = enlarged(features, stride)
    _, height, width = whole.shape
    masks = [torch.from_numpy(mask(c, spots.size_px, spots.shape, width, height)) for c in spots.centers_px]
    return torch.stack([whole[:, m].sum(1) for m in masks]), torch.stack([m.sum() for m in masks])


def random_map(stride: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(channels, ROWS, COLUMNS, generator=torch.Generator().manual_seed(stride))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(["disk", "square"]),
    stride=st.sampled_from([2, 4, 8]),
    size=st.floats(0.1, 40),
    centers=st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), min_size=1, max_size=4),
)
def test_pooling_is_brute_force_over_the_enlarged_map(
    shape: Shape, stride: int, size: float, centers: list[tuple[float, float]]
) -> None:
    spots = Footprints(np.array(centers) * (stride * COLUMNS, stride * ROWS), size, shape)
    features = random_map(stride)

    sums, area = pool(features, spots, stride)

    expected, pixels = brute_force(features, spots, stride)
    assert torch.equal(area.long(), pixels)
    torch.testing.assert_close(sums.double() / area[:, None].double(), expected / pixels[:, None], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", ["disk", "square"])
@pytest.mark.parametrize("size", [0.5, 3.0, 11.3])
def test_pooled_then_linear_is_the_dense_map_summed(shape: Shape, size: float) -> None:
    torch.manual_seed(0)
    features, head = random_map(4, channels=16), torch.nn.Linear(16, 5)
    spots = Footprints(np.array([[0.0, 0.0], [17.2, 11.9], [35.9, 23.9], [20.0, 4.0]]), size, shape)

    sums, area = pool(features, spots, 4)
    pooled = sums @ head.weight.T + area[:, None] * head.bias

    genes = head(features.permute(1, 2, 0)).permute(2, 0, 1)  # the map of all genes at the stride, then enlarged
    expected, _ = brute_force(genes.detach(), spots, 4)
    torch.testing.assert_close(pooled.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", ["disk", "square"])
def test_a_spot_smaller_than_a_pixel_is_the_pixel_it_lies_on(shape: Shape) -> None:
    features = random_map(4)

    sums, area = pool(features, Footprints(np.array([[13.0, 7.0]]), 0.01, shape), 4)

    assert area.tolist() == [1]
    torch.testing.assert_close(sums[0].double(), enlarged(features, 4)[:, 7, 13], rtol=0, atol=1e-6)


def test_adjacent_squares_share_no_pixel_and_leave_none_out() -> None:
    features = random_map(4)
    x, y = np.meshgrid(np.arange(1.3, 36, 2.6), np.arange(1.3, 24, 2.6))
    centers = np.column_stack([x.ravel(), y.ravel()])

    sums, area = pool(features, Footprints(centers, 2.6, "square"), 4)

    covered = np.ceil(np.array([x.max(), y.max()]) + 1.3 - 0.5).clip(0, (36, 24)).astype(int)
    assert area.sum() == covered.prod()
    whole = enlarged(features, 4)[:, : covered[1], : covered[0]].sum((1, 2))
    torch.testing.assert_close(sums.double().sum(0), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", ["disk", "square"])
def test_gradients_are_those_of_the_enlarged_map(shape: Shape) -> None:
    spots = Footprints(np.array([[5.5, 6.0], [30.0, 20.0]]), 9.0, shape)
    ours, theirs = random_map(4).requires_grad_(), random_map(4).requires_grad_()

    pool(ours, spots, 4)[0].square().sum().backward()
    brute_force(theirs, spots, 4)[0].square().sum().backward()

    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-3)


def test_disks_are_looked_at_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    centers = np.random.default_rng(0).uniform(0, (36, 24), (7, 2))
    features, spots = random_map(4), Footprints(centers, 8.0, "disk")
    together, _ = pool(features, spots, 4)

    monkeypatch.setattr(footprints, "MASK_PIXELS", 200)  # two disks of 9 × 9 pixels

    torch.testing.assert_close(pool(features, spots, 4)[0], together)


def test_a_disk_is_a_sparse_stencil() -> None:
    stencils, area = disk_stencils(Footprints(np.array([[400.0, 400.0]]), 200.0, "disk"), 4, (256, 256))

    assert area[0] == pytest.approx(np.pi * 100**2, rel=2e-3)
    assert stencils.weight.sum() == pytest.approx(area[0])
    assert 1900 < len(stencils.cell) < 2300


def test_a_small_square_far_from_the_corner_keeps_its_digits() -> None:
    features = 100 + torch.randn(1, 300, 300, generator=torch.Generator().manual_seed(0))
    spot = Footprints(np.array([[1190.0, 1190.0]]), 4.0, "square")

    sums, _ = pool(features, spot, 4)

    expected = enlarged(features, 4)[:, 1188:1192, 1188:1192].sum()
    assert float(sums[0, 0]) == pytest.approx(float(expected), rel=1e-6)


def test_no_spots_have_no_sums() -> None:
    for shape in ("disk", "square"):
        sums, area = pool(random_map(4), Footprints(np.empty((0, 2)), 5.0, shape), 4)
        assert sums.shape == (0, 3)
        assert area.shape == (0,)
