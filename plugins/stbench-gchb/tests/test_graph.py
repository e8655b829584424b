from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stbench.slides import Slide
from stbench.testing import toy_slides
from stbench_gchb.graph import neighbourhoods


def matrix(slide: Slide, k: int = 6, norm: str = "sum", graph: bool = True) -> np.ndarray:
    """Weights of who gathers from whom, (spots, spots)."""
    found = neighbourhoods(slide, k, norm, graph)  # type: ignore[arg-type]
    dense = np.zeros((slide.n_spots, slide.n_spots))
    for spot, (members, weights) in enumerate(zip(found.members, found.weight, strict=True)):
        for member, weight in zip(members.tolist(), weights.tolist(), strict=True):
            dense[spot, member] += weight
    return dense


@pytest.fixture
def slide(tmp_path: Path) -> Slide:
    return toy_slides(tmp_path, patients=1, spots=49, grid="hex")[0]


def test_a_hexagonal_spot_gathers_from_its_six_neighbours_and_itself(slide: Slide) -> None:
    found = matrix(slide)

    grid = np.eye(49)
    grid[tuple(slide.neighbours("grid"))] = 1
    inner = grid.sum(1) == 7
    assert inner.sum() > 10
    np.testing.assert_array_equal(found[inner], grid[inner])
    np.testing.assert_array_equal(found, found.T)
    assert (np.diag(found) == 1).all()


def test_a_hole_is_no_neighbourhood(slide: Slide) -> None:
    row = slide.array_positions[:, 0]
    apart = slide.subset((row < 3) | (row > 4))  # two bands, a gap of two rows between them

    found = matrix(apart)

    upper = apart.array_positions[:, 0] < 3
    assert found[upper][:, ~upper].sum() == 0


def test_symmetric_weights_are_those_of_a_graph_convolution(slide: Slide) -> None:
    plain = matrix(slide)
    degree = plain.sum(1)

    np.testing.assert_allclose(matrix(slide, norm="sym"), plain / np.sqrt(np.outer(degree, degree)), rtol=1e-6)


def test_without_graph_a_spot_sees_itself_alone(slide: Slide) -> None:
    np.testing.assert_array_equal(matrix(slide, graph=False), np.eye(49))


def test_gathering_is_a_product_with_the_matrix(slide: Slide) -> None:
    torch.manual_seed(0)
    features = torch.randn(49, 5)
    neighbours = neighbourhoods(slide, 6, "sym")
    dense = torch.from_numpy(matrix(slide, norm="sym")).float()
    chosen = torch.tensor([3, 40, 11, 12])

    torch.testing.assert_close(neighbours.gather(features), dense @ features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(neighbours.within(chosen), dense[chosen][:, chosen])


def test_one_spot_is_a_graph(slide: Slide) -> None:
    np.testing.assert_array_equal(matrix(slide.subset(np.arange(1))), [[1.0]])
