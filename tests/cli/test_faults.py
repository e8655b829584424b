"""What a store survives: workers killed at every step of writing a run, a full disk, a read-only file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stbench.store import Store
from stbench.store.verify import verify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and mounts of POSIX")

Run = subprocess.CompletedProcess[str]

POINTS = ("truth-file", "truth", "predictions", "moments", "record", "half-record", "run", "committed")
"""Where toy-dies dies; the truth first, which no other model has written by then."""

DIES = ("run", "-m", f"toy-dies[at={','.join(POINTS)}]", "-d", "toy", "-j", "2")

NOBODY_RECORDS_IT = """
import importlib, os, sys
from pathlib import Path
from stbench.datasets import DatasetContext
from stbench.execution import RunOptions, run_cell
from stbench.execution.processes import PRELOAD
from stbench.matrix import ModelRequest, Request, plan
from stbench.registry import discover

store, cache, model = sys.argv[1:]
for module in PRELOAD:
    importlib.import_module(module)
request = Request(models=(ModelRequest.parse("mean"), ModelRequest.parse(model)), datasets=("toy",), folds="P1,P2")
options = RunOptions(store=Path(store), cache_dir=Path(cache), device="cpu")
cells = plan([request], discover(), DatasetContext(options.cache_dir, None)).cells
for cell in cells:
    if (cell.model, cell.fold.id) not in {("mean", "P1"), ("toy-dies", "P2")}:
        continue
    child = os.fork()
    if child == 0:
        run_cell(cell, options)
        os._exit(0)
    print(cell.model, cell.params.get("at"), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def scored_cells(store: Path) -> Counter[tuple[str, str, str]]:
    """How often each cell stands in the scores, as (model, parameters, fold)."""
    sql = """
        SELECT runs.model, runs.params, runs.fold FROM slide_scores JOIN runs USING (run_id)
        WHERE metric = 'pcc' AND split = 'test'
    """
    return Counter((r["model"], r["params"], r["fold"]) for r in Store(store).query(sql).to_pylist())


def content(store: Path, model: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.glob(f"runs/*/*/{model}/*/*") if path.is_file()}


# Killed workers: at first nobody is left to record it (fold P2, beside a finished cell), then the command is (fold P3)


@pytest.fixture(scope="module")
def killed_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed") / "store"


@pytest.fixture(scope="module")
def alone(stbench: Any, killed_in: Path) -> list[str]:
    """How each cell's process ended."""
    arguments = [str(killed_in), stbench.env["STBENCH_CACHE"], DIES[2]]
    done = subprocess.run(
        [sys.executable, "-c", NOBODY_RECORDS_IT, *arguments],
        env=stbench.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def after_alone(killed_in: Path, alone: list[str]) -> dict[str, Any]:
    return {"found": verify(killed_in), "scored": scored_cells(killed_in), "mean": content(killed_in, "mean")}


@pytest.fixture(scope="module")
def watched(stbench: Any, killed_in: Path, after_alone: dict[str, Any]) -> Run:
    done: Run = stbench(*DIES, "--folds", "P2,P3", store=killed_in)
    return done


@pytest.fixture(scope="module")
def after_watched(killed_in: Path, watched: Run) -> dict[str, Any]:
    return {"found": verify(killed_in), "scored": scored_cells(killed_in), "records": Store(killed_in).records.values()}


@pytest.fixture(scope="module")
def resumed(stbench: Any, killed_in: Path, after_watched: dict[str, Any]) -> Run:
    done: Run = stbench(*DIES, "--folds", "P2,P3", store=killed_in)
    return done


def test_they_were_killed_at_every_point(alone: list[str]) -> None:
    assert alone == ["mean None 0", *(f"toy-dies {point} -9" for point in POINTS)]


def test_killed_alone_they_leave_debris_and_no_damage(after_alone: dict[str, Any]) -> None:
    found = after_alone["found"]

    assert found.problems == []
    assert (found.runs, found.finished) == (2, 2)  # mean, and the one killed after its rename
    assert sum(path.name.startswith("truth-") for path in found.debris) == 2
    assert len([path for path in found.debris if not path.name.startswith("truth-")]) == len(POINTS) - 1


def test_killed_alone_they_count_for_nothing(after_alone: dict[str, Any]) -> None:
    assert after_alone["scored"] == {("mean", "{}", "P1"): 1, ("toy-dies", '{"at": "committed"}', "P2"): 1}


def test_the_command_runs_them_again_and_records_the_newly_killed(watched: Run, after_watched: dict[str, Any]) -> None:
    killed = [r for r in after_watched["records"] if r.status != "ok"]

    assert watched.returncode == 3
    assert "8 cells ran, 1 were done before, 7 failed" in watched.stdout
    assert {(r.status, r.cell.fold.id) for r in killed} == {("oom", "P3")}
    assert [r.cell.params["at"] for r in killed] == list(POINTS[:-1])
    assert "Traceback" not in watched.stderr


def test_a_recorded_death_is_no_damage(after_watched: dict[str, Any]) -> None:
    assert after_watched["found"].problems == []
    assert set(after_watched["scored"].values()) == {1}


def test_the_same_command_finishes_and_each_cell_counts_once(killed_in: Path, resumed: Run) -> None:
    assert resumed.returncode == 0, resumed.stderr
    assert "7 cells ran, 9 were done before" in resumed.stdout
    assert scored_cells(killed_in) == {("mean", "{}", "P1"): 1} | {
        ("toy-dies", json.dumps({"at": point}), fold): 1 for point in POINTS for fold in ("P2", "P3")
    }
    assert verify(killed_in).problems == []


def test_finished_cells_are_untouched(killed_in: Path, after_alone: dict[str, Any], resumed: Run) -> None:
    assert content(killed_in, "mean") == after_alone["mean"]


def mount(*arguments: str) -> str:
    """Mount; returns why it could not."""
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False).stderr.strip()
    except FileNotFoundError:
        return "there is no mount command"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of two megabytes."""
    folder = tmp_path_factory.mktemp("disk")
    if why := mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)):
        pytest.skip(f"a small disk takes the right to mount one: {why}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int) -> None:
    """Fill the disk but for some bytes."""
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        space = os.statvfs(disk)
        ballast.write(bytes(max(0, space.f_bavail * space.f_frsize - leave)))


# A disk that fills among the cells, one that is full from the start, one that was enlarged, one read-only.

SWEEP = ("run", "-m", "toy-good", "-m", "toy-streams", "-m", "mean", "-d", "toy", "-j", "2")
ROOM = 200_000  # bytes, a few of the nine cells


@pytest.fixture(scope="module")
def on_disk(disk: Path) -> Path:
    return disk / "store"


@pytest.fixture(scope="module")
def filling(stbench: Any, disk: Path, on_disk: Path) -> Run:
    fill(disk, ROOM)
    done: Run = stbench(*SWEEP, store=on_disk)
    return done


@pytest.fixture(scope="module")
def after_filling(on_disk: Path, filling: Run) -> dict[str, Any]:
    return {"found": verify(on_disk), "scored": scored_cells(on_disk)}


@pytest.fixture(scope="module")
def full(stbench: Any, disk: Path, on_disk: Path, after_filling: dict[str, Any]) -> Run:
    fill(disk, 0)
    done: Run = stbench(*SWEEP, store=on_disk)
    return done


@pytest.fixture(scope="module")
def after_full(on_disk: Path, full: Run) -> dict[str, Any]:
    return {"found": verify(on_disk), "scored": scored_cells(on_disk)}


@pytest.fixture(scope="module")
def enlarged(stbench: Any, disk: Path, on_disk: Path, after_full: dict[str, Any]) -> Run:
    assert not mount("-o", "remount,size=200m", str(disk))
    done: Run = stbench(*SWEEP, store=on_disk)
    return done


@pytest.fixture(scope="module")
def read_only(disk: Path, enlarged: Run) -> None:
    if why := mount("-o", "remount,ro", str(disk)):
        pytest.skip(f"the disk cannot be made read-only: {why}")


def test_cells_that_find_no_room_say_so(filling: Run) -> None:
    failing = [line for line in filling.stderr.splitlines() if line.startswith("[") and "] ok " not in line]

    assert filling.returncode == 3
    assert 0 < len(failing) <= 9
    assert "Traceback" not in filling.stderr + filling.stdout
    assert "No space left on device" in filling.stderr


def test_what_found_room_is_whole(filling: Run, after_filling: dict[str, Any]) -> None:
    ok = sum("] ok " in line for line in filling.stderr.splitlines())

    assert after_filling["found"].problems == []
    assert after_filling["found"].finished == ok
    assert len(after_filling["scored"]) == ok
    assert set(after_filling["scored"].values()) <= {1}


def test_a_failure_that_cannot_be_recorded_stops_the_command(full: Run, after_filling: dict[str, Any]) -> None:
    done_before = after_filling["found"].finished
    unrecorded = [line for line in full.stderr.splitlines() if "cannot be" in line and "No space left" in line]

    assert full.returncode == 3
    failed = next(n for n in (1, 2) if f"{n} failed" in full.stdout)  # those that ran at the time
    not_started = 9 - done_before - failed
    assert f"0 cells ran, {done_before} were done before, {failed} failed, {not_started} not started" in full.stdout
    assert len(unrecorded) >= failed
    assert "cannot be written; " in full.stderr.splitlines()[-1]
    assert "make room or put it back" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr + full.stdout


def test_a_full_disk_harms_nothing(after_filling: dict[str, Any], after_full: dict[str, Any]) -> None:
    assert after_full["found"].problems == []
    assert after_full["found"].finished == after_filling["found"].finished
    assert after_full["scored"] == after_filling["scored"]


def test_with_room_the_same_command_finishes(on_disk: Path, enlarged: Run, after_full: dict[str, Any]) -> None:
    before = after_full["found"].finished

    assert enlarged.returncode == 0, enlarged.stderr
    assert f"{9 - before} cells ran, {before} were done before" in enlarged.stdout
    assert verify(on_disk).problems == []
    assert len(scored_cells(on_disk)) == 9
    assert set(scored_cells(on_disk).values()) == {1}


@pytest.mark.usefixtures("read_only")
def test_a_read_only_store_is_one_sentence(on_disk: Path, in_process: Callable[..., Run]) -> None:
    done = in_process(*SWEEP, "--fresh", store=on_disk)

    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: the store {on_disk} cannot be written (")
    assert "read-only" in said


@pytest.mark.usefixtures("read_only")
def test_a_read_only_store_reads(on_disk: Path, in_process: Callable[..., Run]) -> None:
    board = in_process("leaderboard", "--metric", "pcc", "--format", "json", store=on_disk)
    counted = in_process("query", "SELECT count(*) AS n FROM cells", "--format", "json", store=on_disk)
    verified = in_process("store", "verify", store=on_disk)

    assert {row["model"] for row in json.loads(board.stdout)} == {"toy-good", "toy-streams", "mean"}
    assert json.loads(counted.stdout) == [{"n": 9}]
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_store_below_a_file_is_one_sentence(tmp_path: Path, in_process: Callable[..., Run]) -> None:
    (tmp_path / "file").write_text("")

    done = in_process("run", "-m", "mean", "-d", "toy", store=tmp_path / "file" / "store")

    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("error: ")
    assert "give another --store" in said


def test_a_cell_stopped_for_its_time_leaves_a_clean_store(stbench: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    limits = ("--set", "seconds=600", "--timeout", "3s")

    done = stbench("run", "-m", "toy-sleeps", "-d", "toy", "--folds", "P3", *limits, store=store)
    found = verify(store)

    assert done.returncode == 3
    assert (found.runs, found.finished, found.problems, found.debris) == (1, 0, [], [])
