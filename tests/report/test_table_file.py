from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stbench.errors import StoreError, UsageError
from stbench.report.table_file import write_table

ANSWER = pa.table({"gene": ["A", "B,C"], "value": [0.5, None]})


def test_parquet_keeps_types(tmp_path: Path) -> None:
    assert write_table(ANSWER.to_reader(), tmp_path / "a.parquet") == 2

    assert pq.read_table(tmp_path / "a.parquet") == ANSWER
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_csv_is_csv(tmp_path: Path) -> None:
    write_table(ANSWER.to_reader(), tmp_path / "a.csv")

    assert (tmp_path / "a.csv").read_text() == '"gene","value"\n"A",0.5\n"B,C",\n'


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.xlsx is neither \.parquet nor \.csv"):
        write_table(ANSWER.to_reader(), tmp_path / "a.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("precious")
    nested = pa.table({"badges": [["a", "b"]]})

    with pytest.raises(UsageError, match=r"write \.parquet, or select plain columns"):
        write_table(nested.to_reader(), path)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        write_table(ANSWER.to_reader(), tmp_path / "nowhere" / "a.parquet")
