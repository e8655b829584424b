"""A plugin written for the current API keeps working; deliberately bad ones fail the check that names their fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PACKAGES = Path(__file__).parents[1] / "plugins"

Installed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> dict[str, str]:
    """Environment where all packages of tests/plugins are installed, as their authors would install them."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    sources = [str(folder) for folder in sorted(PACKAGES.iterdir()) if (folder / "pyproject.toml").exists()]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(target), *sources], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STBENCH_")}
    return {**kept, "PYTHONPATH": str(target), "STBENCH_CACHE": str(cache_dir)}


@pytest.fixture(scope="session")
def installed(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The command line in that environment."""
    folder = tmp_path_factory.mktemp("cwd")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stbench", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=180, check=False, cwd=folder
        )

    return run


def checked(installed: Installed, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = installed("plugins", "check", *arguments, "--format", "json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_good_package_passes_every_check_of_every_kind(installed: Installed) -> None:
    code, reports = checked(installed, "stbench-good")

    failed = {r["subject"]: [c for c in r["checks"] if c["status"] in ("failed", "blocked")] for r in reports}
    assert {subject: bad for subject, bad in failed.items() if bad} == {}
    assert code == 0
    kinds = {r["subject"].split()[0] for r in reports}
    assert kinds == {"model", "dataset", "metric", "protocol", "encoder"}
    assert {(r["verdict"], r["api_version"], r["distribution"]) for r in reports} == {
        ("conformant", "1", "stbench-good")
    }


@pytest.mark.parametrize(
    ("model", "fault", "arguments"),
    [
        ("leaky", "leak_probe", ()),
        ("broken", "fit_predict", ()),
        ("slow", "quick", ("--limit", "0.5s")),
        ("nondeterministic", "same_seed", ()),
    ],
)
def test_a_bad_package_fails_exactly_the_check_that_names_its_fault(
    installed: Installed, model: str, fault: str, arguments: tuple[str, ...]
) -> None:
    code, (report,) = checked(installed, model, *arguments)

    assert code == 1
    assert report["verdict"] == "not conformant"
    assert [c["id"] for c in report["checks"] if c["status"] == "failed"] == [fault]


def test_the_table_names_the_fault_and_why_it_matters(installed: Installed) -> None:
    done = installed("plugins", "check", "stbench-leaky", "--only", "fit_predict,leak_probe")

    assert done.returncode == 1
    assert "failed   leak_probe" in done.stdout
    assert "why it matters: what a method knows" in done.stdout
    assert "model leaky: not conformant (1 passed, 1 failed" in done.stdout


def test_a_declared_failure_is_no_failure(installed: Installed) -> None:
    code, (report,) = checked(installed, "leaky", "--only", "leak_probe", "--xfail", "leak_probe:reads the counts")

    (outcome,) = report["checks"]
    assert (code, outcome["status"]) == (0, "xfailed")
    assert outcome["message"].startswith("reads the counts (predictions change")


def test_checks_of_one_kind_can_be_named_for_a_distribution_of_several(installed: Installed) -> None:
    """The distribution registers a dataset, a metric and a protocol beside its model."""
    code, reports = checked(installed, "stbench-good", "--only", "parameters", "--xfail", "named:not yet")

    assert code == 0
    assert {r["subject"].split()[0] for r in reports} == {"model"}
    assert {r["verdict"] for r in reports} == {"not settled"}  # one check of many


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("leakey",), "no plugin registers 'leakey'; did you mean leaky?"),
        (("leaky", "--only", "leaks"), "model leaky has no check 'leaks'; it has: parameters,"),
        (("leaky", "--xfail", "leak_probe"), "cannot read --xfail 'leak_probe'; write CHECK:REASON"),
        (("leaky", "--kind", "executor"), "unknown executor 'leaky'"),
    ],
)
def test_wrong_requests_are_explained(installed: Installed, arguments: tuple[str, ...], sentence: str) -> None:
    done = installed("plugins", "check", *arguments)

    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_of_scikit_learn_is_checked_and_fitted_without_torch(
    environment: dict[str, str], tmp_path: Path
) -> None:
    script = "import sys, stbench.testing as t; t.check_model('good-forest'); print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=tmp_path)

    assert done.stdout.strip() == "False", done.stderr


def test_the_good_package_runs_with_its_own_dataset_protocol_and_metric(installed: Installed, tmp_path: Path) -> None:
    store = str(tmp_path / "store")

    ran = installed("run", "-m", "good-forest", "-m", "mean", "-d", "good-tiles", "-p", "good-top", "--store", store)
    shown = installed("leaderboard", "--metric", "good_spearman", "--format", "json", "--store", store)

    assert ran.returncode == 0, ran.stderr
    rows = {row["model"]: row for row in json.loads(shown.stdout)}
    assert rows["good-forest"]["value"] > 0.1
    assert rows["mean"]["value"] == 0
    assert rows["good-forest"]["n_units"] == 3
