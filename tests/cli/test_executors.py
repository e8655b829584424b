"""What is said of an executor that cannot run here, and of options it does not take."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

MEAN = ("run", "-m", "mean", "-d", "toy")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--with", "cpus=2"), "the executor local takes no option 'cpus': --with takes none here"),
        (("--address", "auto"), "the executor local takes no option 'address'"),
        (("--executor", "ray", "--with", "partition=gpu"), "--with takes one of address, cpus, gpus, cache here"),
        (("--executor", "ray", "--with", "cpus"), "--with 'cpus' is not NAME=VALUE"),
        (("--executor", "nowhere"), "nowhere"),
    ],
)
def test_options_that_an_executor_does_not_take(
    arguments: tuple[str, ...], sentence: str, in_process: Any, tmp_path: Path
) -> None:
    done = in_process(*MEAN, *arguments, store=tmp_path / "store")

    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("executor", "module", "sentence"),
    [
        ("ray", "ray", "--executor ray needs Ray: pip install 'stbench[ray]'"),
        ("slurm", "submitit", "--executor slurm needs submitit: pip install 'stbench[slurm]'"),
    ],
)
def test_an_executor_whose_package_is_not_installed(
    executor: str, module: str, sentence: str, in_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = in_process(*MEAN, "--executor", executor, "--timeout", "1h", store=tmp_path / "store")

    assert done.returncode == 1
    assert sentence in done.stderr


@pytest.mark.parametrize(("option", "value"), [("cpus", "many"), ("gpus", "-1"), ("gpus", "1.5"), ("cpus", "inf")])
def test_shares_that_ray_cannot_give(option: str, value: str, in_process: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    done = in_process(*MEAN, "--executor", "ray", "--with", f"{option}={value}", store=tmp_path / "store")

    assert done.returncode == 1
    assert f"--with {option}={value} is neither a whole number nor a share of one" in done.stderr


def test_where_there_is_no_slurm(in_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = in_process(*MEAN, "--executor", "slurm", "--timeout", "1h", store=tmp_path / "store")

    assert done.returncode == 1
    assert "no Slurm here (sbatch, squeue, srun not found); run this on a login node of the cluster" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--executor slurm needs --timeout"),
        (("--timeout", "1h", "--with", "cpus=0.5"), "--with cpus=0.5 is not a whole number"),
    ],
)
def test_what_slurm_must_be_told(
    arguments: tuple[str, ...], sentence: str, in_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed")
    for command in ("sbatch", "squeue", "srun"):  # found, and never started
        (tmp_path / command).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    done = in_process(*MEAN, "--executor", "slurm", *arguments, store=tmp_path / "store")

    assert done.returncode == 1
    assert sentence in done.stderr


def test_status_says_which_jobs_it_cannot_ask_for(
    in_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    assert in_process(*MEAN, "--folds", "P1", store=store).returncode == 0
    left = store / ".submitted" / "stbench-left"
    left.mkdir(parents=True)
    (left / "tasks.jsonl").touch()
    (left / "submitted").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    done = in_process("status", store=store)

    assert done.returncode == 0
    assert "Slurm does not say how the jobs stbench-left stand" in done.stderr
