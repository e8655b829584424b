"""Tables for a paper: what the views say, in files that any program reads."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from stbench.errors import UsageError
from stbench.registry import discover
from stbench.report.export import NOTE, TABLES, USUAL, Chosen, export
from stbench.store import Store


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_hold_what_the_views_say(told: Path, tmp_path: Path, suffix: str) -> None:
    store = Store(told)

    rows = export(store, discover(), tmp_path / "out", TABLES, suffix, Chosen())

    read = pd.read_csv if suffix == ".csv" else pd.read_parquet
    for table in TABLES:
        found = read(tmp_path / "out" / f"{table}{suffix}")
        assert len(found) == rows[table]
        assert rows[table] or table == "metrics"  # the hand-made runs have none
        if table != "leaderboard":
            expected = store.query(f"SELECT * FROM {table}")
            assert (list(found), len(found)) == (expected.column_names, expected.num_rows)
    scores = read(tmp_path / "out" / f"slide_scores{suffix}")
    mean = store.query("SELECT avg(value) AS v FROM slide_scores WHERE metric = 'pcc'")["v"][0].as_py()
    assert scores[scores["metric"] == "pcc"]["value"].mean() == pytest.approx(mean)


def test_nested_columns_are_json_in_csv(told: Path, tmp_path: Path) -> None:
    export(Store(told), discover(), tmp_path, ["cells"], ".csv", Chosen())

    cells = pd.read_csv(tmp_path / "cells.csv")
    assert {type(json.loads(text)) for text in cells["patients"]} == {dict}
    assert {type(json.loads(text)) for text in cells["badges"]} == {list}


def test_runs_can_be_chosen(told: Path, tmp_path: Path) -> None:
    chosen = Chosen(models=("good",))
    export(Store(told), discover(), tmp_path, [*USUAL, "truth"], ".csv", chosen)

    for table in USUAL:
        assert set(pd.read_csv(tmp_path / f"{table}.csv")["model"]) == {"good"}
    assert len(pd.read_csv(tmp_path / "truth.csv"))
    none = export(Store(told), discover(), tmp_path, ["cells"], ".csv", Chosen(datasets=("x' OR true --",)))
    assert none == {"cells": 0}


def test_the_note_says_what_is_there(told: Path, tmp_path: Path) -> None:
    export(Store(told), discover(), tmp_path, ["cells"], ".csv", Chosen(protocols=("stbench-v1",)))

    note = json.loads((tmp_path / NOTE).read_text())
    assert note["chosen"] == {"datasets": [], "protocols": ["stbench-v1"], "models": []}
    assert list(note["tables"]) == ["cells.csv"]
    assert note["store_schema"] == 1


def test_another_folder_is_not_written_into(told: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(UsageError, match="something other than an earlier export"):
        export(Store(told), discover(), tmp_path, USUAL, ".csv", Chosen())

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_unknown_table_is_named(told: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'scores' is none of leaderboard"):
        export(Store(told), discover(), tmp_path, ["scores"], ".csv", Chosen())
