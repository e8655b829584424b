"""Commands whose ``--store`` is an address of an object store."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from object_store import make_bucket, remove_bucket, serving
from waiting import wait_for

pytest.importorskip("moto.server", reason="needs moto[server]")

TASK = ("-d", "toy", "-p", "stbench-v1")
BUCKET = "shelf"


@pytest.fixture(scope="module")
def remote(stbench: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The command line on a machine that reaches a bucket."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder / "log.txt") as environment:
        make_bucket(environment, BUCKET)
        yield replace(stbench, env=stbench.env | environment)


@pytest.fixture
def other(remote: Any, tmp_path: Path) -> Any:
    """Another machine: a cache of its own."""
    return replace(remote, env=remote.env | {"STBENCH_CACHE": str(tmp_path / "cache")})


def one_mirror(machine: Any, name: str = "") -> Path:
    (mirror,) = Path(machine.env["STBENCH_CACHE"], "stores").glob(f"*{name}*/store")
    return mirror


@pytest.mark.slow
def test_two_commands_at_once_fill_one_store_that_every_machine_reads(remote: Any, other: Any) -> None:
    """A cell that both are asked for counts once, and all machines see the same runs."""
    uri = f"s3://{BUCKET}/both"
    ours, theirs = ("-m", "mean", "-m", "position", *TASK, "--folds", "P1"), ("-m", "mean", *TASK, "--folds", "P1,P2")
    for process in [remote.start("run", *ours, store=uri), other.start("run", *theirs, store=uri)]:
        said = process.communicate(timeout=120)
        assert process.returncode == 0, said

    again = remote.json("run", *theirs, store=uri)
    assert (again["planned"], again["done_before"], again["ok"]) == (2, 2, 0)
    third = replace(other, env=other.env | {"STBENCH_CACHE": other.env["STBENCH_CACHE"] + "-3"})
    order = "SELECT model, fold, run_id FROM cells ORDER BY ALL"
    seen = [machine.query(order, uri) for machine in (third, other, remote)]
    assert seen[0] == seen[1] == seen[2]
    assert [(row["model"], row["fold"]) for row in seen[0]] == [("mean", "P1"), ("mean", "P2"), ("position", "P1")]
    rows = third.json("leaderboard", store=uri)
    assert {row["model"]: len(row["folds"]) for row in rows} == {"mean": 2, "position": 1}
    checked = third("store", "verify", store=uri)
    assert checked.returncode == 0
    assert "3 cells finished, 0 problems" in checked.stdout


@pytest.mark.slow
def test_a_score_computed_again_reaches_other_machines(remote: Any, other: Any) -> None:
    uri = f"s3://{BUCKET}/scores"
    assert remote("run", "-m", "mean", *TASK, "--folds", "P1", "--keep", "predictions", store=uri).returncode == 0

    done = other("score", "--run", "all", "--metrics", "pcc_spot", store=uri)

    assert done.returncode == 0, done.stderr
    assert len(list(one_mirror(other).glob("runs/*/*/*/*/metrics-pcc_spot.parquet"))) == 1
    assert remote("status", store=uri).returncode == 0
    assert len(list(one_mirror(remote, "scores").glob("runs/*/*/*/*/metrics-pcc_spot.parquet"))) == 1


@pytest.mark.slow
def test_a_run_that_cannot_be_uploaded_waits_for_the_next_command(remote: Any, other: Any) -> None:
    uri = "s3://goes-away/store"
    make_bucket(remote.env, "goes-away")
    started = remote.start("run", "-m", "mean", *TASK, "--folds", "P1", store=uri)
    seen = Path(remote.env["STBENCH_CACHE"], "stores")
    wait_for(lambda: any(seen.glob("goes-away-*/synced.json")))
    remove_bucket(remote.env, "goes-away")

    _, said = started.communicate(timeout=120)

    assert started.returncode == 3
    (error,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "the store s3://goes-away/store at http://" in error
    assert "the next command uploads them" in error

    make_bucket(remote.env, "goes-away")
    assert remote("status", store=uri).returncode == 0
    assert other.query("SELECT count(*) AS n FROM cells", uri) == [{"n": 1}]


@pytest.mark.parametrize("command", [("leaderboard",), ("run", "-m", "mean", *TASK), ("store", "verify")])
def test_what_cannot_be_reached_is_one_sentence(command: tuple[str, ...], other: Any) -> None:
    missing = other(*command, store="s3://nowhere/store")
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        silent = f"http://127.0.0.1:{taken.getsockname()[1]}"
        since = time.monotonic()
        refused = other(*command, store=f"s3://{BUCKET}/x", AWS_ENDPOINT_URL=silent)

    assert time.monotonic() - since < 30
    for said, why in (
        (missing, "there is no bucket nowhere"),
        (refused, f"s3://{BUCKET}/x at {silent} cannot be used"),
    ):
        assert (said.returncode, said.stdout) == (1, "")
        assert said.stderr.startswith("error: ")
        assert said.stderr.count("\n") == 1
        assert why in said.stderr


def test_a_folder_may_be_written_as_an_address(in_process: Any, tmp_path: Path) -> None:
    said = in_process("status", "--format", "json", "--store", f"file://{tmp_path}/store")
    wrong = in_process("status", "--store", "file://store")

    assert said.returncode == 0
    assert "names no folder; write file:///FOLDER" in wrong.stderr
