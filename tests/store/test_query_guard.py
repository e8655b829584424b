from __future__ import annotations

from pathlib import Path

import pytest
from handmade import commit_run, make_cell, random_slides

from stbench.errors import UsageError
from stbench.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("Anna's own") / "my 'quoted' store"
    values = random_slides(1)
    commit_run(root, make_cell("B"), "run-1", values, {"B1": values["B1"]})
    return Store(root)


def test_a_store_below_quotes_and_spaces_answers(store: Store) -> None:
    for view in ("runs", "moments", "metrics", "predictions", "truth", "slide_scores", "reference_scores"):
        store.query(f"SELECT * FROM {view}")
    assert store.query("SELECT count(*) AS n FROM predictions").to_pylist() == [{"n": 36}]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT * FROM runs) SELECT count(*) AS n FROM a",
        "FROM runs SELECT count(*) AS n;",
        "-- a comment\nSELECT count(*) AS n FROM runs",
    ],
)
def test_one_select_in_any_form_is_run(sql: str, store: Store) -> None:
    assert store.query(sql).to_pylist() == [{"n": 1}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE runs",
        "",
        "   ",
        "-- nothing",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO runs SELECT * FROM runs",
        "DELETE FROM runs",
        "DROP TABLE runs",
        "COPY runs TO 'leak.csv'",
        "COPY (SELECT 1) TO 'leak.csv'",
        "EXPORT DATABASE 'leak'",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA enable_profiling",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET allowed_paths",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE SELECT 1",
        "PREPARE p AS SELECT 1",
    ],
)
def test_nothing_but_one_select_is_run(sql: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match=r"one SELECT|query:"):
        store.query(sql)
    assert list(tmp_path.iterdir()) == []
    assert store.query("SELECT count(*) AS n FROM runs").to_pylist() == [{"n": 1}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('{other}')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM read_parquet('{root}/truth/../../other.parquet')",
        "SELECT * FROM read_json('{root}/STORE.json')",
        "SELECT * FROM read_parquet('http://localhost:1/x.parquet')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM query('COPY runs TO ''leak.csv''')",
    ],
)
def test_no_other_file_can_be_read(sql: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other.parquet"
    other.write_bytes(next(store.layout.truth.rglob("spots.parquet")).read_bytes())
    root = str(store.layout.root).replace("'", "''")

    with pytest.raises(UsageError, match="query:"):
        store.query(sql.format(other=other, root=root))
    assert not (tmp_path / "leak.csv").exists()


def test_python_variables_of_the_host_are_not_tables(store: Store) -> None:
    with pytest.raises(UsageError, match="connection"):
        store.query("SELECT * FROM connection")


def test_an_unknown_column_is_named(store: Store) -> None:
    with pytest.raises(UsageError, match="zebra"):
        store.query("SELECT zebra FROM runs")
