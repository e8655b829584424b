"""Matrices on a real Ray cluster of two nodes on this machine, one CPU each: nodes that die, drivers that die."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import fitting, wait_for

from stbench.store import Store
from stbench.store.verify import verify

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SLEEPS = ("run", "-m", "toy-sleeps", "-d", "toy")


@pytest.fixture
def cluster(stbench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A head without CPUs; tests add nodes, which see the toy plugin."""
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
    monkeypatch.setenv("PYTHONPATH", stbench.env["PYTHONPATH"])
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 * 2**20},
    )
    yield made
    made.shutdown()


def add_node(cluster: Any, name: str) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20, env_vars={"NODE_OF_TEST": name})


def on(cluster: Any, *arguments: str) -> list[str]:
    return [*arguments, "--executor", "ray", "--address", cluster.address]


def committed(store: Path) -> int:
    return len(list(store.glob("runs/*/*/*/*/run.json")))


def assert_each_counted_once(store: Path, cells: int) -> None:
    opened = Store(store)
    sql = "SELECT cell_key, count(*) AS n FROM slide_scores WHERE metric = 'pcc' AND split = 'test' GROUP BY ALL"
    assert [row["n"] for row in opened.query(sql).to_pylist()] == [1] * cells
    assert Counter(r.status for r in opened.records.values())["ok"] == cells
    assert verify(store).problems == []


def test_both_nodes_work_each_from_its_own_cache(stbench: Any, cluster: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        add_node(cluster, name)
    caches = tmp_path / "caches"
    arguments = on(cluster, *SLEEPS, "--set", "seconds=1", "-j", "2", "--with", f"cache={caches}/$NODE_OF_TEST")
    done: subprocess.CompletedProcess[str] = stbench(*arguments, store=tmp_path / "store")

    assert done.returncode == 0, done.stderr
    assert_each_counted_once(tmp_path / "store", 3)
    assert sorted(folder.name for folder in caches.iterdir()) == ["one", "two"]


def test_a_node_that_is_lost_costs_the_cell_it_was_running(stbench: Any, cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_node(cluster, "stays")
    lost = add_node(cluster, "goes")
    arguments = on(cluster, *SLEEPS, "--seeds", "0,1", "--set", "seconds=3", "-j", "2")
    process: subprocess.Popen[str] = stbench.start(*arguments, store=store)
    wait_for(lambda: len(fitting(store)) == 2)
    before = committed(store)
    cluster.remove_node(lost, allow_graceful=False)
    out, err = process.communicate(timeout=120)

    assert process.returncode == 0, err
    assert before < 6
    assert "6 cells ran, 0 were done before" in out
    assert_each_counted_once(store, 6)
    assert len(Store(store).records) == 6  # the try that was lost left no run
    assert verify(store).debris == []


def test_a_crash_costs_one_cell_and_is_not_tried_again(stbench: Any, cluster: Any, tmp_path: Path) -> None:
    add_node(cluster, "one")
    arguments = on(cluster, "run", "-m", "toy-killed", "-m", "mean", "-d", "toy", "--folds", "P1")
    done: subprocess.CompletedProcess[str] = stbench(*arguments, store=tmp_path / "store")
    records = Store(tmp_path / "store").records.values()

    assert done.returncode == 3
    assert sorted((r.cell.model, r.status) for r in records) == [("mean", "ok"), ("toy-killed", "oom")]


def test_the_time_limit_ends_a_cell(stbench: Any, cluster: Any, tmp_path: Path) -> None:
    add_node(cluster, "one")
    arguments = on(cluster, *SLEEPS, "--folds", "P1", "--set", "seconds=60", "--timeout", "6s")
    done: subprocess.CompletedProcess[str] = stbench(*arguments, store=tmp_path / "store")
    (record,) = Store(tmp_path / "store").records.values()

    assert done.returncode == 3
    assert record.status == "timeout"


def test_the_same_command_finishes_what_a_killed_one_left(stbench: Any, cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for name in ("one", "two"):
        add_node(cluster, name)
    arguments = on(cluster, *SLEEPS, "--seeds", "0,1", "--set", "seconds=2", "-j", "2")
    process: subprocess.Popen[str] = stbench.start(*arguments, store=store)
    wait_for(lambda: committed(store) >= 1 and fitting(store))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    time.sleep(5)  # the cluster ends the cells of a command that is gone
    left = committed(store)
    done: subprocess.CompletedProcess[str] = stbench(*arguments, store=store)

    assert done.returncode == 0, done.stderr
    assert f"{6 - left} cells ran, {left} were done before" in done.stdout
    assert 1 <= left < 6
    assert_each_counted_once(store, 6)


def test_ctrl_c_records_what_was_running(stbench: Any, cluster: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    add_node(cluster, "one")
    process: subprocess.Popen[str] = stbench.start(*on(cluster, *SLEEPS, "--set", "seconds=30"), store=store)
    wait_for(lambda: len(fitting(store)) == 1)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert Counter(record.status for record in Store(store).records.values()) == {"interrupted": 1}
    assert "2 not started" in out
    assert "Traceback" not in err
    assert verify(store).debris == []


def test_two_nodes_take_little_more_than_half_the_time_of_one(
    stbench: Any, cluster: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The figure is reported; the assertion leaves room for a busy machine."""
    arguments = on(cluster, *SLEEPS, "--seeds", "0-3", "--set", "seconds=5")
    seconds = []
    for nodes in (1, 2):
        add_node(cluster, str(nodes))
        started = time.monotonic()
        done: subprocess.CompletedProcess[str] = stbench(*arguments, "-j", str(nodes), store=tmp_path / str(nodes))
        seconds.append(time.monotonic() - started)
        assert done.returncode == 0, done.stderr
    ratio = seconds[1] / seconds[0]
    record_property("two nodes over one", round(ratio, 3))
    print(f"12 cells of 5 s: one node {seconds[0]:.1f} s, two nodes {seconds[1]:.1f} s, ratio {ratio:.2f}")

    assert ratio < 0.9


def test_a_machine_alone_needs_no_cluster(stbench: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    done: subprocess.CompletedProcess[str] = stbench(
        "run", "-m", "mean", "-d", "toy", "--executor", "ray", "-j", "2", store=tmp_path / "store"
    )

    assert done.returncode == 0, done.stderr
    assert_each_counted_once(tmp_path / "store", 3)


def test_no_cluster_at_an_address_is_one_sentence(stbench: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    done: subprocess.CompletedProcess[str] = stbench(
        *("run", "-m", "mean", "-d", "toy", "--executor", "ray", "--address", "127.0.0.1:1"), store=tmp_path / "store"
    )

    assert done.returncode == 1
    assert "no Ray cluster at '127.0.0.1:1'" in done.stderr
    assert "Traceback" not in done.stderr
