from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stbench.errors import DataError
from stbench.execution.outside.names import Expected, align, check_names
from stbench.execution.outside.table import PredictionTable, read_predictions

EXPECTED = Expected(["G2", "G1"], {"A1": ["1x1", "1x2", "1x3"]})


def table_of(rows: pd.DataFrame, folder: Path) -> PredictionTable:
    rows.to_parquet(folder / "predictions.parquet")
    return read_predictions(folder / "predictions.parquet")


def test_values_stand_where_their_names_say(rows: pd.DataFrame, tmp_path: Path) -> None:
    table = table_of(rows.sample(frac=1, random_state=1), tmp_path)

    check_names(table, "P1", EXPECTED)
    predicted = align(table, "P1", "A1", EXPECTED.spots["A1"], EXPECTED.genes)

    np.testing.assert_array_equal(predicted.mean, [[1, 0], [3, 2], [0, 0]])
    np.testing.assert_array_equal(predicted.given, [[True, True], [True, True], [False, False]])
    assert predicted.std is None


def test_a_whole_prediction_misses_nothing(rows: pd.DataFrame, tmp_path: Path) -> None:
    table = table_of(rows.assign(y_std=0.5), tmp_path)

    predicted = align(table, "P1", "A1", ["1x2", "1x1"], ["G1", "G2"])

    assert predicted.given is None
    np.testing.assert_array_equal(predicted.std, np.full((2, 2), 0.5))


def test_a_slide_without_rows_is_not_given(rows: pd.DataFrame, tmp_path: Path) -> None:
    predicted = align(table_of(rows, tmp_path), "P1", "A2", ["1x1"], ["G1"])

    assert predicted.given is not None
    assert not predicted.given.any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.assign(slide="Z9"), r"fold P1: 1 slides are no test slides of this fold \(Z9\); it tests A1"),
        (
            lambda f: f.assign(spot=["a", "b", "c", "d"] * 2),
            r"slide A1: 4 spots are none of its 3 test spots \(a, b, c, …\); `stbench task` writes the names",
        ),
        (lambda f: f.assign(gene=["G1", "ERBB2"] * 4), r"1 genes are none of its 2 genes of the panel \(ERBB2\)"),
        (
            lambda f: pd.concat([f, f.iloc[[1, 2]]]),
            r"2 rows repeat a spot and gene \(the first: spot 1x1, gene G2\); keep one row each, of one model and seed",
        ),
    ],
)
def test_what_a_fold_does_not_ask_for_is_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], sentence: str, rows: pd.DataFrame, tmp_path: Path
) -> None:
    table = table_of(change(rows), tmp_path)

    with pytest.raises(DataError, match=sentence):
        check_names(table, "P1", EXPECTED)
