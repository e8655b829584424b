"""Folds inside the training slides: every unit is held out once, and never trained on at the same time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stbench.errors import UsageError
from stbench.models import inner_folds
from stbench.slides import Slide
from stbench.testing import toy_slides


def names(slides: list[Slide]) -> str:
    return " ".join(slide.info.id for slide in slides)


def written(folds: list) -> list[tuple[str, str]]:
    return [(names(fit), names(held_out)) for fit, held_out in folds]


def test_by_patient_all_sections_of_one_are_held_out(tmp_path: Path) -> None:
    train = toy_slides(tmp_path, patients=3, sections=2, spots=9)

    assert written(inner_folds(train)) == [
        ("P2-S1 P2-S2 P3-S1 P3-S2", "P1-S1 P1-S2"),
        ("P1-S1 P1-S2 P3-S1 P3-S2", "P2-S1 P2-S2"),
        ("P1-S1 P1-S2 P2-S1 P2-S2", "P3-S1 P3-S2"),
    ]
    assert written(inner_folds(train, by="patient")) == written(inner_folds(train))


def test_by_slide_where_one_patient_trains(tmp_path: Path) -> None:
    train = toy_slides(tmp_path, patients=1, sections=3, spots=9)

    expected = [("P1-S2 P1-S3", "P1-S1"), ("P1-S1 P1-S3", "P1-S2"), ("P1-S1 P1-S2", "P1-S3")]
    assert written(inner_folds(train)) == written(inner_folds(train, by="slide")) == expected


def test_by_block_where_one_slide_trains(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=100)

    folds = inner_folds([slide])

    assert len(folds) == 5
    held = [set(h.adata.obs_names) for _, (h,) in folds]
    assert set.union(*held) == set(slide.adata.obs_names)
    assert sum(map(len, held)) == 100
    for (fit,), (held_out,) in folds:
        assert set(fit.adata.obs_names) == set(slide.adata.obs_names) - set(held_out.adata.obs_names)
        rows = np.unique(held_out.array_positions[:, 0])
        assert len(rows) == 2  # contiguous
        assert np.ptp(rows) == 1


def test_bands_without_spots_make_no_fold(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=9)

    folds = inner_folds([slide])

    assert len(folds) == 3  # three rows
    assert all(s.n_spots for fit, held_out in folds for s in (*fit, *held_out))


def test_a_number_of_folds_takes_every_nth_patient_by_name(tmp_path: Path) -> None:
    train = toy_slides(tmp_path, patients=5, spots=9)[::-1]

    held_out = [held for _, held in written(inner_folds(train, by="patient", n_folds=3))]

    assert held_out == ["P4-S1 P1-S1", "P5-S1 P2-S1", "P3-S1"]
    assert written(inner_folds(train, n_folds=9)) == written(inner_folds(train))  # there are no more than units


def test_of_22_patients_four_folds_hold_out_6_6_5_5(tmp_path: Path) -> None:
    (slide,) = toy_slides(tmp_path, patients=1, spots=9)
    train = [Slide(slide.adata, replace(slide.info, patient=f"BC{n:02d}"), slide.source) for n in range(22)]

    folds = inner_folds(train, by="patient", n_folds=4)

    assert [len(held_out) for _, held_out in folds] == [6, 6, 5, 5]
    assert [s.info.patient for s in folds[1][1]] == ["BC01", "BC05", "BC09", "BC13", "BC17", "BC21"]
    for fit, held_out in folds:
        assert len(fit) + len(held_out) == 22
        assert not {s.info.patient for s in fit} & {s.info.patient for s in held_out}


def test_one_unit_cannot_be_left_out(tmp_path: Path) -> None:
    train = toy_slides(tmp_path, patients=1, sections=2, spots=9)

    with pytest.raises(UsageError, match=r"inner folds by patient need two of them .*; use by='auto'"):
        inner_folds(train, by="patient")
    with pytest.raises(UsageError, match="inner folds by slide"):
        inner_folds(train[:1], by="slide")
