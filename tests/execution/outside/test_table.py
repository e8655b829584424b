from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stbench.errors import DataError
from stbench.execution.outside.table import read_predictions

Write = Callable[[pd.DataFrame], Path]


def test_rows_are_found_by_fold_and_slide(rows: pd.DataFrame, write: Write) -> None:
    shuffled = rows.sample(frac=1, random_state=0)

    table = read_predictions(write(shuffled))

    assert sorted(table.folds()) == ["P1", "P2"]
    assert (table.slides("P1"), table.slides("P2")) == (["A1"], ["B1"])
    found = table.rows("P2", "B1")
    assert sorted(table.y_pred[found]) == [4, 5, 6, 7]
    assert table.y_pred.dtype == np.float32
    assert len(table.rows("P1", "B1")) == 0
    assert table.stated == {}


def test_names_that_look_like_numbers_are_names(rows: pd.DataFrame, write: Write) -> None:
    table = read_predictions(write(rows.assign(fold="01", gene="1e5", spot=["NA", *rows["spot"][1:]])))

    assert table.folds() == ["01"]
    assert table.gene.used() == ["1e5"]
    assert "NA" in table.spot.used()


def test_whole_numbers_may_name_folds_in_parquet(rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.assign(fold=3).to_parquet(tmp_path / "p.parquet")

    assert read_predictions(tmp_path / "p.parquet").folds() == ["3"]


def test_a_standard_deviation_may_be_absent_here_and_there(rows: pd.DataFrame, write: Write) -> None:
    table = read_predictions(write(rows.assign(y_std=[0.5, None, *[0.25] * 6])))

    assert table.y_std is not None
    assert table.y_std[0] == 0.5
    assert np.isnan(table.y_std[1])


def test_other_columns_are_ignored_and_the_task_is_noted(rows: pd.DataFrame, write: Write) -> None:
    more = rows.assign(dataset="toy", protocol="stbench-v1", model="ridge", run_id="x", spot_row=0, truth_key="y")

    assert read_predictions(write(more)).stated == {"dataset": "toy", "protocol": "stbench-v1"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.drop(columns=["gene", "y_pred"]), "has no column gene, y_pred; it has fold, slide, spot"),
        (lambda f: f.iloc[:0], "has no rows|cannot be read"),
        (lambda f: f.assign(y_pred=[np.nan, *f["y_pred"][1:]]), "1 of 8 values of y_pred are missing, NaN or infinite"),
        (lambda f: f.assign(y_pred=[*f["y_pred"][1:], np.inf]), "the first: fold P2, slide B1, spot 1x2, gene G2"),
        (lambda f: f.assign(y_pred=1e300), "8 of 8 values of y_pred"),
        (lambda f: f.assign(y_pred="high"), "holds string, not numbers|invalid value 'high'"),
        (lambda f: f.assign(y_std=-1.0), "8 of 8 values of y_std are negative or infinite"),
        (lambda f: f.assign(seed=[0, 1] * 4), r"holds 2 seeds \(0, 1\); filter it to one model, seed"),
        (lambda f: f.assign(model=["a", "b"] * 4), r"holds 2 models \(a, b\); filter it"),
        (lambda f: f.assign(dataset=["a", "b"] * 4), r"holds 2 datasets \(a, b\)"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    change: Callable[[pd.DataFrame], pd.DataFrame], sentence: str, rows: pd.DataFrame, write: Write
) -> None:
    path = write(change(rows))

    with pytest.raises(DataError, match=sentence) as refused:
        read_predictions(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        ("spot", [0.5] * 8, "column spot holds double, not names; write strings"),
        ("gene", [None, *["G"] * 7], "1 of 8 rows have no gene; fill or drop them"),
        ("y_pred", [True] * 8, "column y_pred holds bool, not numbers"),
    ],
)
def test_parquet_of_other_types_is_refused(
    column: str, values: list[object], sentence: str, rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.assign(**{column: values}).to_parquet(tmp_path / "p.parquet")

    with pytest.raises(DataError, match=sentence):
        read_predictions(tmp_path / "p.parquet")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_strings_of_any_kind_are_names(kind: pa.DataType, rows: pd.DataFrame, tmp_path: Path) -> None:
    table = pa.table(rows)
    table = table.set_column(2, "spot", table["spot"].cast(kind))
    pq.write_table(table, tmp_path / "p.parquet")

    assert sorted(read_predictions(tmp_path / "p.parquet").spot.used()) == ["1x1", "1x2"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("predictions.xlsx", b"", "is neither .parquet, .csv nor .csv.gz"),
        ("cut.parquet", b"PAR1cut off", "cannot be read"),
        ("empty.csv", b"", "cannot be read"),
        ("cut.csv.gz", b"\x1f\x8b\x08cut off", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=sentence):
        read_predictions(tmp_path / name)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        read_predictions(tmp_path / "nowhere.csv")
