from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from handmade import commit_failure, commit_run, make_cell, random_slides
from typer.testing import CliRunner, Result

from stbench.cli.app import app
from stbench.store import Store
from stbench.store.verify import verify

RUN_B = "runs/hand/stbench-v1/method/*-run-B"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two finished cells, and one that failed."""
    root = tmp_path / "store"
    values = random_slides(1, shape=(400, 3))
    for patient in ("B", "C"):
        slide = f"{patient}1"
        metrics = [{"slide": slide, "metric": "ssim", "value": 0.5}]
        commit_run(root, make_cell(patient), f"run-{patient}", values, {slide: values[slide]}, metrics=metrics)
    commit_failure(root, make_cell("A"), "run-A")
    return root


def command(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["store", "verify", "--store", str(root), *arguments])


def the(root: Path, pattern: str) -> Path:
    (path,) = root.glob(pattern)
    return path


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip_a_bit(path: Path) -> None:
    """In the last byte of the first column: decompressed, it is as good a value as any."""
    column = pq.read_metadata(path).row_group(0).column(0)
    start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
    content = bytearray(path.read_bytes())
    content[start + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)


def rename(folder: Path) -> None:
    folder.rename(folder.with_name("renamed"))


def move(folder: Path) -> None:
    other = folder.parent.with_name("other-method")
    other.mkdir()
    folder.rename(other / folder.name)


def give_another_key(record: Path) -> None:
    stated = json.loads(record.read_text())
    record.write_text(json.dumps(stated | {"cell_key": "0" * len(stated["cell_key"])}))


def give_another_cell(record: Path) -> None:
    stated = json.loads(record.read_text())
    stated["cell"]["seed"] = 7
    record.write_text(json.dumps(stated))


def remove_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_a_whole_store_is_clean(root: Path) -> None:
    said = command(root)

    assert said.exit_code == 0
    assert said.stdout == "3 runs, 2 cells finished, 0 problems\n"


def test_an_absent_store_is_clean(tmp_path: Path) -> None:
    assert command(tmp_path / "nothing").stdout == "0 runs, 0 cells finished, 0 problems\n"


@pytest.mark.parametrize("damage", [truncate, zero, flip_a_bit, Path.unlink])
@pytest.mark.parametrize(
    "pattern",
    [
        f"{RUN_B}/moments.parquet",
        f"{RUN_B}/metrics.parquet",
        f"{RUN_B}/predictions.parquet",
        "truth/truth-B1/truth.parquet",
        "truth/truth-B1/spots.parquet",
        "truth/truth-B1/references.parquet",
    ],
)
def test_a_damaged_file_is_named(damage: Callable[[Path], None], pattern: str, root: Path) -> None:
    path = the(root, pattern)
    damage(path)

    said = command(root)

    assert said.exit_code == 1
    assert "1 problems" in said.stdout
    (problem,) = [line for line in said.stdout.splitlines() if line.startswith("✗")]
    assert path.name in problem
    assert "run-B" in problem or "truth-B1" in problem
    assert "is damaged" in problem or "is missing" in problem


@pytest.mark.parametrize(
    ("pattern", "damage", "sentence"),
    [
        (f"{RUN_B}/run.json", Path.unlink, "no run.json; remove the folder"),
        (f"{RUN_B}/run.json", truncate, "run.json cannot be read and was left out"),
        (f"{RUN_B}/run.json", zero, "run.json cannot be read and was left out"),
        (f"{RUN_B}/run.json", give_another_cell, "run run-B: the record's cell does not have the key"),
        (RUN_B, rename, "run run-B: its folder is runs/hand/stbench-v1/method/renamed, not the one of its cell"),
        (RUN_B, move, "run run-B: its folder is runs/hand/stbench-v1/other-method/"),
    ],
)
def test_a_run_that_is_not_what_it_says_is_named(
    pattern: str, damage: Callable[[Path], None], sentence: str, root: Path
) -> None:
    damage(the(root, pattern))

    (problem,) = verify(root).problems

    assert sentence in problem


def test_a_record_with_another_cells_key_contradicts_its_cell_and_its_folder(root: Path) -> None:
    give_another_key(the(root, f"{RUN_B}/run.json"))

    of_cell, of_folder = verify(root).problems

    assert "does not have the key 0000" in of_cell
    assert "its folder is" in of_folder


def test_a_missing_truth_misses_each_of_its_files(root: Path) -> None:
    remove_folder(root / "truth" / "truth-B1")

    problems = verify(root).problems

    assert [Path(problem.split()[0]).name for problem in problems] == [
        "truth.parquet",
        "spots.parquet",
        "references.parquet",
    ]
    assert all("truth-B1" in problem and problem.endswith("is missing") for problem in problems)


def test_every_damage_is_reported_not_only_the_first(root: Path) -> None:
    zero(the(root, f"{RUN_B}/moments.parquet"))
    truncate(the(root, "truth/truth-C1/spots.parquet"))
    (root / "runs/hand/stbench-v1/method/half-copied").mkdir()

    assert len(verify(root).problems) == 3


def test_debris_in_staging_is_no_damage(root: Path) -> None:
    left_over = root / ".staging" / "run-X"
    left_over.mkdir()
    (left_over / "moments.parquet").write_bytes(b"PAR1")

    said = command(root)

    assert said.exit_code == 0
    assert "0 problems" in said.stdout
    assert f"1 unfinished runs in {root}/.staging; they count for nothing" in said.stdout


@pytest.mark.parametrize("damaged", [False, True])
def test_json_says_the_same(damaged: bool, root: Path) -> None:
    (root / ".staging" / "run-X").mkdir()
    if damaged:
        (root / "truth" / "truth-B1" / "spots.parquet").unlink()

    said = command(root, "--format", "json")

    assert said.exit_code == int(damaged)
    assert json.loads(said.stdout) == {
        "runs": 3,
        "finished": 2,
        "problems": [f"{root / 'truth' / 'truth-B1' / 'spots.parquet'} is missing"] if damaged else [],
        "debris": [str(root / ".staging" / "run-X")],
        "unindexed": 0,
    }


def test_verifying_changes_nothing(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}

    verify(root)

    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert len(Store(root).finished()) == 2
