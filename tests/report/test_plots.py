"""Figures show the numbers they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stbench.errors import UsageError
from stbench.registry import discover
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
