"""Folds are made from metadata alone; blocks cut a slide cleanly, with rings of spots between the sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st

from stbench.errors import NotApplicable
from stbench.protocols import Block, Fold, Part, Protocol
from stbench.protocols.v1 import STBENCH_BLOCKS_V1, STBENCH_REGIONS_V1, STBENCH_SECTION_V1, STBENCH_V1
from stbench.slides import Slide, SlideInfo


def sections(names: str, **fields: object) -> list[SlideInfo]:
    """``"A1 A2 B1"``: section B1 of patient B, and so on."""
    return [SlideInfo(id=name, patient=name[0], dataset="d", grid="square", **fields) for name in names.split()]


def written(fold: Fold) -> str:
    """``A1 A2 | B1 | C1``: train, validation, test; ``A1>`` is the last fifth of A1, ``A1<`` all but it and a ring."""
    inner, last = Block("row", 0.8, 1.0, buffer=1, keep="outside"), Block("row", 0.8, 1.0)
    marks = {None: "", inner: "<", last: ">"}
    return " | ".join(
        " ".join(part.slide + marks[part.block] for part in parts) for parts in (fold.train, fold.validation, fold.test)
    )


EXPECTED = {
    "A1 A2 B1": {
        "A": "B1< | B1> | A1 A2",
        "B": "A1< A2< | A1> A2> | B1",
    },
    "A1 B1 B2 C1": {
        "A": "B1< B2< C1< | B1> B2> C1> | A1",
        "B": "A1< C1< | A1> C1> | B1 B2",
        "C": "A1< B1< B2< | A1> B1> B2> | C1",
    },
    "A1 B1 C1 C2 D1": {
        "A": "C1 C2 D1 | B1 | A1",
        "B": "A1 D1 | C1 C2 | B1",
        "C": "A1 B1 | D1 | C1 C2",
        "D": "B1 C1 C2 | A1 | D1",
    },
    "A1 B1 C1 D1 E1": {
        "A": "C1 D1 E1 | B1 | A1",
        "B": "A1 D1 E1 | C1 | B1",
        "C": "A1 B1 E1 | D1 | C1",
        "D": "A1 B1 C1 | E1 | D1",
        "E": "B1 C1 D1 | A1 | E1",
    },
}


@pytest.mark.parametrize("names", EXPECTED)
def test_leave_one_patient_out(names: str) -> None:
    folds = STBENCH_V1.folds(sections(names))

    assert {fold.id: written(fold) for fold in folds} == EXPECTED[names]


def test_the_order_of_the_slides_does_not_matter() -> None:
    slides = sections("A1 B1 C1 C2 D1")

    assert STBENCH_V1.folds(slides[::-1]) == STBENCH_V1.folds(slides)


def test_leave_one_section_out() -> None:
    folds = STBENCH_SECTION_V1.folds(sections("A1 A2 A3 A4"))

    assert {fold.id: written(fold) for fold in folds} == {
        "A1": "A3 A4 | A2 | A1",
        "A2": "A1 A4 | A3 | A2",
        "A3": "A1 A2 | A4 | A3",
        "A4": "A2 A3 | A1 | A4",
    }


def test_fifths_of_a_single_slide() -> None:
    folds = STBENCH_BLOCKS_V1.folds(sections("A1"))

    assert [fold.id for fold in folds] == ["block-1", "block-2", "block-3", "block-4", "block-5"]
    for i, fold in enumerate(folds):
        test, validation, train = (p[0].block for p in (fold.test, fold.validation, fold.train))
        after = (i + 1) % 5
        assert (test.start, test.stop, test.keep) == (i / 5, (i + 1) / 5, "inside")
        assert (validation.start, validation.stop, validation.keep) == (after / 5, (after + 1) / 5, "inside")
        assert (train.start, train.stop, train.keep, train.buffer) == (i / 5, (i + 2) / 5, "outside", 1)


def test_slides_without_an_image_are_never_in_a_fold() -> None:
    slides = sections("A1 B1 C1 D1") + sections("A2 E1", has_image=False)

    folds = STBENCH_V1.folds(slides)

    used = {part.slide for fold in folds for part in (*fold.train, *fold.validation, *fold.test)}
    assert used == {"A1", "B1", "C1", "D1"}
    assert [fold.id for fold in STBENCH_V1.complete_folds(slides)] == list("ABCDE")


@pytest.mark.parametrize(
    ("protocol", "names", "message"),
    [
        (
            STBENCH_V1,
            "A1 A2",
            r"stbench-v1 does not apply: leave-one-patient-out needs two patients "
            r"\(patients: 1, slides with an image: 2\); use -p stbench-section-v1",
        ),
        (STBENCH_V1, "A1", r"needs two patients \(patients: 1, slides with an image: 1\); use -p stbench-blocks-v1"),
        (
            STBENCH_SECTION_V1,
            "A1",
            r"stbench-section-v1 does not apply: .* needs two slides .*; use -p stbench-blocks-v1",
        ),
    ],
)
def test_a_protocol_that_does_not_apply_names_the_one_that_does(protocol: Protocol, names: str, message: str) -> None:
    with pytest.raises(NotApplicable, match=message):
        protocol.folds(sections(names))


def test_without_any_image_no_protocol_applies() -> None:
    for protocol in (STBENCH_V1, STBENCH_SECTION_V1, STBENCH_BLOCKS_V1):
        with pytest.raises(NotApplicable, match="none of 2 slides has an image"):
            protocol.folds(sections("A1 B1", has_image=False))


patients = st.lists(st.sampled_from("ABCDEFGH"), min_size=1, max_size=14)


@given(patients)
def test_parts_of_a_fold_never_share_a_patient_with_its_test(letters: list[str]) -> None:
    slides = sections(" ".join(f"{letter}{i}" for i, letter in enumerate(letters)))
    try:
        folds = STBENCH_V1.folds(slides)
    except NotApplicable:
        assert len(set(letters)) == 1
        return

    assert sorted(p.slide for fold in folds for p in fold.test) == sorted(s.id for s in slides)
    for fold in folds:
        seen = {p.slide[0] for p in (*fold.train, *fold.validation)}
        assert {p.slide[0] for p in fold.test} == {fold.id}
        assert seen == set(letters) - {fold.id}
        assert not set(fold.train) & set(fold.validation)


@given(patients)
def test_folds_survive_json(letters: list[str]) -> None:
    folds = STBENCH_BLOCKS_V1.folds(sections(" ".join(f"{letter}{i}" for i, letter in enumerate(letters))))
    folds.append(Fold("x", (Part("a"),), (), (Part("b", Block("col", 0.1, 0.3, 2)),)))

    assert [Fold.from_json(fold.to_json()) for fold in folds] == folds


def array(positions: list[tuple[int, int]], grid: str) -> Slide:
    row, col = np.array(sorted(positions)).T
    if grid == "hex":
        col = 2 * col + row % 2
    names = pd.Index([f"{r}x{c}" for r, c in zip(row, col, strict=True)])
    obs = pd.DataFrame({"array_row": row, "array_col": col}, index=names)
    info = SlideInfo(id="S", patient="P", dataset="d", grid=grid)
    return Slide(AnnData(obs=obs, obsm={"spatial": np.column_stack([col, row]).astype(float)}), info)


tissue = st.sets(st.tuples(st.integers(0, 15), st.integers(0, 6)), min_size=1, max_size=112)


@settings(max_examples=60, deadline=None)
@given(tissue, st.sampled_from(["square", "hex"]))
def test_fifths_hold_every_spot_once_and_train_keeps_its_distance(positions: set, grid: str) -> None:
    slide = array(list(positions), grid)
    folds = STBENCH_BLOCKS_V1.folds([slide.info])
    step = np.eye(slide.n_spots, dtype=bool)
    source, target = slide.neighbours()
    step[source, target] = True

    tested = np.zeros(slide.n_spots, int)
    for fold in folds:
        test, validation, train = (part[0].block.mask(slide) for part in (fold.test, fold.validation, fold.train))
        tested += test
        held_out = test | validation
        assert not (test & validation).any()
        assert not (train & step[held_out].any(0)).any()  # nor a neighbour of what is held out
        ring = ~train & ~held_out
        assert not (ring & ~step[held_out].any(0)).any()  # and nothing else is given away
    assert (tested == 1).all()


@settings(max_examples=60, deadline=None)
@given(tissue, st.integers(0, 3), st.sampled_from(["row", "col"]), st.floats(0, 1.5), st.floats(0.01, 1))
def test_a_buffer_of_several_rings(positions: set, rings: int, axis: str, start: float, width: float) -> None:
    slide = array(list(positions), "square")
    start = min(start, 0.99)
    inside = Block(axis, start, start + width).mask(slide)
    outside = Block(axis, start, start + width, buffer=rings, keep="outside").mask(slide)

    near = inside.copy()
    for _ in range(rings):  # ring by ring, over the neighbours that are there
        source, target = slide.neighbours()
        near[target[near[source]]] = True

    np.testing.assert_array_equal(outside, ~near)


def test_quantiles_are_over_the_spots_not_over_the_glass() -> None:
    slide = array([(r, c) for r in range(10) for c in range(8 if r < 5 else 2)], "square")

    last = Block("row", 0.8, 1.0).mask(slide)

    assert slide.array_positions[last, 0].min() == 5
    assert last.sum() == 10


def test_a_block_that_wraps_round_is_the_last_and_the_first_band() -> None:
    slide = array([(r, c) for r in range(20) for c in range(3)], "square")
    row = slide.array_positions[:, 0]

    inside = Block("row", 0.8, 1.2).mask(slide)
    train = Block("row", 0.8, 1.2, keep="outside").mask(slide)

    assert sorted(set(row[inside])) == [0, 1, 2, 3, 16, 17, 18, 19]
    assert sorted(set(row[train])) == list(range(5, 15))


def test_regions_are_tested_on_annotated_slides_alone_and_never_trained_beside_them() -> None:
    slides = sections("A2 B2 C2 D1 E1") + sections("A1 B1", has_regions=True)

    folds = STBENCH_REGIONS_V1.folds(slides)

    assert [written(fold) for fold in folds] == [
        "C2 D1 E1 | B1 B2 | A1",
        "A1 A2 D1 E1 | C2 | B1",
    ]


def test_without_annotation_regions_cannot_be_asked_for() -> None:
    with pytest.raises(NotApplicable, match="stbench-regions-v1 does not apply: no slide is annotated with regions"):
        STBENCH_REGIONS_V1.folds(sections("A1 B1 C1"))
