"""Figures show the numbers they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from handmade import between

from stbench.errors import UsageError
from stbench.registry import discover
from stbench.report.fine_maps import fine_map
from stbench.report.plots import maps, scores
from stbench.report.plots.choice import Choice, choose
from stbench.report.region_maps import region_labels
from stbench.store import Store


@pytest.fixture(scope="module")
def chosen(told: Path) -> Choice:
    return choose(Store(told), discover(), "hand", None)


def test_intervals_are_drawn_at_their_values_and_ties_are_shaded(chosen: Choice) -> None:
    entries = chosen.entries("pcc")

    (axes,) = scores.intervals(entries, {"reference": 0.9}, "pcc").axes

    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert points == [row["value"] for _, row in entries]
    assert len(axes.patches) == sum(row["tied_with_best"] for _, row in entries)
    assert [label.get_text() for label in axes.get_yticklabels()] == [variant["name"] for variant, _ in entries]


def test_a_maps_panels_share_one_scale(chosen: Choice) -> None:
    section = chosen.section("B1")

    drawn = maps.gene_maps(section, ["G1", "G2"], chosen.names, None)

    panels = [axes for axes in drawn.axes if axes.collections and axes.get_title()]
    assert len(panels) == 2 * (1 + len(chosen.names))
    assert [axes.get_title() for axes in panels[:2]] == [
        "G1: truth",
        f"good, r {section.gene_pcc(next(iter(chosen.names)))[0]:.2f}",
    ]
    flat = next(axes for axes in panels if axes.get_title().startswith("flat"))
    assert len(np.unique(flat.collections[0].get_facecolors(), axis=0)) == 1


def test_what_was_predicted_between_the_spots_is_drawn_beside_it(chosen: Choice) -> None:
    section = chosen.section("B1")
    names = {key: name for key, name in chosen.names.items() if name == "good"}
    fine = fine_map(chosen.parts("B1"), next(iter(names)), ["G2"])
    assert fine is not None

    drawn = maps.gene_maps(section, ["G2"], names, None, dict.fromkeys(names, fine))

    panel = next(axes for axes in drawn.axes if axes.get_title() == "good, 0 µm")
    squares = panel.collections[0].get_paths()
    assert len(squares) == 25
    np.testing.assert_allclose(squares[0].vertices[:4], [(-0.25, -0.25), (0.25, -0.25), (0.25, 0.25), (-0.25, 0.25)])
    assert len(np.unique(panel.collections[0].get_facecolors(), axis=0)) > 10


def test_no_fine_map_where_nothing_was_said_between_the_spots(chosen: Choice) -> None:
    assert [fine_map(chosen.parts("B1"), key, ["G2"]) is None for key in chosen.names] == [False, True, True, True]
    assert all(fine_map(chosen.parts("A1"), key, ["G2"]) is None for key in chosen.names)


def test_a_gene_without_values_there_is_absent(chosen: Choice) -> None:
    fine = fine_map(chosen.parts("B1"), next(iter(chosen.names)), ["G2", "other"])

    assert fine is not None
    np.testing.assert_allclose(fine.values["G2"], between().mean[:, 1])
    assert np.isnan(fine.values["other"]).all()


def test_regions_are_drawn_beside_the_annotation(chosen: Choice) -> None:
    section = chosen.section(None, labelled=True)

    drawn = maps.regions(section, region_labels(section), chosen.names)

    titles = [axes.get_title() for axes in drawn.axes]
    assert titles[:2] == ["annotation", "measured, ARI 1.00"]
    assert len(titles) == 2 + len(chosen.names)


def test_slides_are_those_of_the_store(chosen: Choice) -> None:
    frame = chosen.slide_values("pcc")

    assert sorted(set(frame["slide"])) == ["A1", "A2", "B1", "C1"]
    assert set(frame["variant"]) == set(chosen.names)


def test_one_task_must_be_meant(told: Path) -> None:
    with pytest.raises(UsageError, match="no finished run of model 'god'"):
        choose(Store(told), discover(), None, None, ["god"])


def test_a_long_title_does_not_reach_into_the_next_panel() -> None:
    assert maps.titled("good", "r 0.10", columns=3) == "good, r 0.10"
    assert maps.titled("histogene super_resolution=4", "r 0.10", columns=5) == "histogene\nsuper_resolution=4\nr 0.10"
