"""Matrices on a real Slurm of one node on this machine: array jobs, jobs put back into the queue, cancelled jobs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import missing, slurm
from waiting import fitting, wait_for

from stbench.store import Store
from stbench.store.verify import verify

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

SLEEPS = ("run", "-m", "toy-sleeps", "-d", "toy", "--executor", "slurm", "--timeout", "5m")


@pytest.fixture(scope="module")
def cluster(stbench: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The command line where Slurm is."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    with slurm(tmp_path_factory.mktemp("slurm")) as env:
        yield replace(stbench, env=stbench.env | env)


def ask(cluster: Any, *command: str) -> str:
    done = subprocess.run(command, env=cluster.env, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


def name_of(store: Path) -> str:
    (folder,) = (store / ".submitted").glob("stbench-*")
    return folder.name


def running(cluster: Any, store: Path) -> list[str]:
    """Job ids, 7_0 and the like."""
    return ask(cluster, "squeue", "-h", "-r", "-t", "RUNNING", f"--name={name_of(store)}", "-o", "%i").split()


def start_again_at_once(cluster: Any, job: str) -> None:
    """Slurm lets a job that is put back into the queue wait two minutes."""
    wait_for(lambda: ask(cluster, "squeue", "-h", f"--job={job}", "-o", "%T|%r").strip() == "PENDING|BeginTime")
    ask(cluster, "scontrol", "update", f"JobId={job}", "StartTime=now")


def assert_each_counted_once(store: Path, cells: int) -> None:
    opened = Store(store)
    sql = "SELECT cell_key, count(*) AS n FROM slide_scores WHERE metric = 'pcc' AND split = 'test' GROUP BY ALL"
    assert [row["n"] for row in opened.query(sql).to_pylist()] == [1] * cells
    assert Counter(r.status for r in opened.records.values())["ok"] == cells
    found = verify(store)
    assert (found.problems, found.debris) == ([], [])


def test_an_array_job_finishes_a_matrix(cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = (*SLEEPS, "--set", "seconds=0", "-j", "2", "--with", "comment=toys")
    done: subprocess.CompletedProcess[str] = cluster(*arguments, store=store)

    assert done.returncode == 0, done.stderr
    assert "3 cells ran, 0 were done before" in done.stdout
    assert_each_counted_once(store, 3)


def test_a_job_put_back_into_the_queue_starts_its_cell_again(cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process: subprocess.Popen[str] = cluster.start(*SLEEPS, "--folds", "P1,P2", "--set", "seconds=15", store=store)
    wait_for(lambda: fitting(store))
    (job,) = running(cluster, store)
    ask(cluster, "scontrol", "requeue", job)
    start_again_at_once(cluster, job)
    out, err = process.communicate(timeout=240)

    assert process.returncode == 0, err
    assert "2 cells ran" in out
    assert_each_counted_once(store, 2)
    assert {record.status for record in Store(store).records.values()} <= {"interrupted", "ok"}


def test_a_preempted_cell_runs_again(cluster: Any, tmp_path: Path) -> None:
    """The signal that Slurm sends before it takes the node away; submitit puts the job back into the queue."""
    store = tmp_path / "store"
    process: subprocess.Popen[str] = cluster.start(*SLEEPS, "--folds", "P1", "--set", "seconds=6", store=store)
    wait_for(lambda: fitting(store))
    (job,) = running(cluster, store)
    ask(cluster, "scancel", "--signal=USR2", job)
    start_again_at_once(cluster, job)
    out, err = process.communicate(timeout=240)
    statuses = Counter(record.status for record in Store(store).records.values())

    assert process.returncode == 0, err
    assert "1 cells ran" in out
    assert statuses["ok"] == 1
    assert set(statuses) <= {"interrupted", "ok"}  # a try that Slurm kills too soon leaves no run
    assert_each_counted_once(store, 1)


@pytest.mark.parametrize("signals", [(), ("--signal=KILL", "--full")])
def test_a_job_that_is_cancelled_or_killed_is_recorded_and_the_same_command_finishes(
    signals: tuple[str, ...], cluster: Any, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    arguments = (*SLEEPS, "--folds", "P1,P2", "--set", "seconds=8", "-j", "2")
    process: subprocess.Popen[str] = cluster.start(*arguments, store=store)
    wait_for(lambda: len(fitting(store)) == 2)
    job, _ = running(cluster, store)
    ask(cluster, "scancel", *signals, job)
    process.communicate(timeout=240)
    statuses = Counter(record.status for record in Store(store).records.values())
    again: subprocess.CompletedProcess[str] = cluster(*arguments, store=store)

    assert process.returncode == 3
    assert statuses == {"ok": 1, "interrupted": 1}
    assert again.returncode == 0, again.stderr
    assert_each_counted_once(store, 2)


def test_what_is_cancelled_in_the_queue_is_recorded_as_interrupted(cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    process: subprocess.Popen[str] = cluster.start(*SLEEPS, "--folds", "P1,P2", "--set", "seconds=3", store=store)
    wait_for(lambda: fitting(store))
    ask(cluster, "scancel", "--state=PENDING", f"--name={name_of(store)}")
    process.communicate(timeout=240)

    assert process.returncode == 3
    assert Counter(r.status for r in Store(store).records.values()) == {"ok": 1, "interrupted": 1}
    assert verify(store).debris == []


def test_after_ctrl_c_jobs_go_on_and_the_same_command_waits_for_them(cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = (*SLEEPS, "--set", "seconds=5")
    process: subprocess.Popen[str] = cluster.start(*arguments, store=store)
    wait_for(lambda: fitting(store))
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    shown = cluster.json("status", store=store)
    (row,) = (row for row in shown if row["model"] == "toy-sleeps")
    jobs = ask(cluster, "squeue", "-h", "-r", "-o", "%i").split()
    again: subprocess.CompletedProcess[str] = cluster(*arguments, store=store)

    assert process.returncode == 130, err
    assert "scancel --name=stbench-" in err
    assert "Traceback" not in err
    assert "3 not started" in out
    assert (row["running"], row["queued"]) == (1, 2)
    assert len(jobs) == 3
    assert again.returncode == 0, again.stderr
    assert_each_counted_once(store, 3)
    assert len(Store(store).records) == 3  # nothing was submitted twice


def test_a_killed_command_leaves_jobs_that_the_next_one_finds(cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = (*SLEEPS, "--folds", "P1,P2", "--set", "seconds=3")
    process: subprocess.Popen[str] = cluster.start(*arguments, store=store)
    wait_for(lambda: fitting(store))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    done: subprocess.CompletedProcess[str] = cluster(*arguments, store=store)

    assert done.returncode == 0, done.stderr
    assert_each_counted_once(store, 2)
    assert len(Store(store).records) == 2


def test_fail_fast_takes_the_rest_out_of_the_queue(cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = ("run", "-m", "toy-fit-error", "-d", "toy", "--executor", "slurm", "--timeout", "5m", "--fail-fast")
    done: subprocess.CompletedProcess[str] = cluster(*arguments, store=store)

    assert done.returncode == 3
    assert len(Store(store).records) < 3
    assert verify(store).debris == []


def test_the_time_limit_of_a_cell(cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    arguments = ("run", "-m", "toy-sleeps", "-d", "toy", "--set", "seconds=60", "--folds", "P1", "--executor", "slurm")
    done: subprocess.CompletedProcess[str] = cluster(*arguments, "--timeout", "8s", store=store)
    (record,) = Store(store).records.values()

    assert done.returncode == 3
    assert record.status == "timeout"


def test_what_slurm_refuses_is_one_sentence(cluster: Any, tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = cluster(
        *SLEEPS, "--set", "seconds=0", "--with", "partition=nowhere", store=tmp_path / "store"
    )

    assert done.returncode == 1
    assert "Slurm does not take the jobs" in done.stderr
    assert "partition" in done.stderr
    assert "Traceback" not in done.stderr
    assert verify(tmp_path / "store").debris == []
