"""Maps of what a spot attends to."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from stbench.errors import UsageError
from stbench.report.plots.attention import attention_maps, central_spot, pick, write_attention
from stbench.slides import Slide
from stbench.testing import toy_slides

ATTENTION = np.random.default_rng(0).random((2, 3, 49), np.float32)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    return toy_slides(tmp_path_factory.mktemp("slides"), patients=1, spots=49)[0].without_expression()


def test_the_last_layer_and_the_mean_of_its_heads_are_shown_where_none_is_named() -> None:
    ((name, weights),) = pick(ATTENTION, (), ()).items()

    assert name == "layer 2, mean of 3 heads"
    np.testing.assert_allclose(weights, ATTENTION[1].mean(0))


def test_layers_and_heads_count_from_one() -> None:
    shown = pick(ATTENTION, (1, 2), (3,))

    assert list(shown) == ["layer 1, head 3", "layer 2, head 3"]
    np.testing.assert_array_equal(shown["layer 1, head 3"], ATTENTION[0, 2])


@pytest.mark.parametrize(
    ("layers", "heads", "message"),
    [((3,), (), "--layer 3: the model has layers 1 to 2"), ((), (0,), "--head 0: the model has heads 1 to 3")],
)
def test_a_layer_or_head_that_is_not_there(layers: tuple[int, ...], heads: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pick(ATTENTION, layers, heads)


def test_panels_show_the_tissue_the_spots_and_who_looks(slide: Slide) -> None:
    shown = pick(ATTENTION, (1, 2), (1, 2))

    drawn = attention_maps(slide, central_spot(slide), shown, columns=2)

    panels = [axes for axes in drawn.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == list(shown)
    for axes, weights in zip(panels, shown.values(), strict=True):
        assert len(axes.images) == 1
        (ring,) = axes.patches
        np.testing.assert_allclose(ring.center, slide.centers_px[central_spot(slide)])
        colours = axes.collections[0].get_facecolors()
        assert len(colours) == slide.n_spots
        top = colours[weights.argmax()]
        np.testing.assert_allclose(colours[np.argsort(weights)[-1]], top)
        assert not np.allclose(colours[weights.argmin()], top)


def test_the_central_spot_is_in_the_middle(slide: Slide) -> None:
    assert slide.array_positions[central_spot(slide)].tolist() == [3, 3]


def test_weights_are_written_beside_the_places(slide: Slide, tmp_path: Path) -> None:
    shown = pick(ATTENTION, (), (1, 2))

    write_attention(slide, shown, tmp_path / "new" / "weights.csv")

    with (tmp_path / "new" / "weights.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["spot"] for row in rows] == list(slide.adata.obs_names)
    np.testing.assert_allclose([float(row["layer 2, head 2"]) for row in rows], ATTENTION[1, 1])
    np.testing.assert_allclose([float(row["x_px"]) for row in rows], slide.centers_px[:, 0])


def test_a_table_that_cannot_be_written_is_said(slide: Slide, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write_attention(slide, pick(ATTENTION, (), ()), tmp_path)
