"""Projects rendered for every kind are installed, pass their own tests, and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from stbench.scaffold import render

NET = """
import lightning, torch
from torch.nn.functional import mse_loss


class MyModule(lightning.LightningModule):
    def __init__(self, n_genes):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.BatchNorm2d(3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, n_genes)
        )

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, i):
        x, y = batch
        return mse_loss(self(x), y)

    def validation_step(self, batch, i):
        x, y = batch
        self.log("val_loss", mse_loss(self(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-1)
"""
PROJECTS = {"scaf-cnn": "model", "scaf-wrapped": "model", "scaf-rank": "metric", "scaf-tissue": "dataset"}


@dataclass(frozen=True)
class Installed:
    """A virtual environment that sees this one, with the rendered projects installed."""

    folder: Path
    env: dict[str, str]

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")

    def project(self, name: str) -> Path:
        return self.folder / f"stbench-{name}"

    def __call__(self, *arguments: str | Path) -> str:
        command = [self.python, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STBENCH_", "PYTEST_", "PYTHON"))}
    installed = Installed(folder, kept | {"STBENCH_CACHE": str(cache_dir), "OMP_NUM_THREADS": "1"})
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    inner = Path(installed("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    outer = sysconfig.get_path("purelib")
    (inner / "outer.pth").write_text(f"import site; site.addsitedir({outer!r})\n")
    (inner / "scaf_net.py").write_text(NET)
    for name, kind in PROJECTS.items():
        render(name, kind, folder, "scaf_net:MyModule" if name == "scaf-wrapped" else None)
    installed("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", *map(installed.project, PROJECTS))
    return installed


OWN_TESTS = [
    # half a minute each; tests/test_docs.py has a rendered model checked too
    pytest.param(name, marks=[pytest.mark.slow] if PROJECTS[name] == "model" else [])
    for name in PROJECTS
]


@pytest.mark.parametrize("name", OWN_TESTS)
def test_it_passes_its_own_tests(name: str, installed: Installed) -> None:
    said = installed("-m", "pytest", "-q", "-p", "no:cacheprovider", installed.project(name))

    assert " passed" in said
    assert "warning" not in said


def test_listing_what_is_installed_imports_no_torch(installed: Installed) -> None:
    script = (
        "import sys; from stbench.registry import discover; r = discover(); print('torch' in sys.modules, *r.broken)"
    )

    assert installed("-c", script) == "False\n"


def run(installed: Installed, *arguments: str | Path) -> dict[tuple[str, str], float]:
    """Run the first fold; (model, metric) → mean over its test slides."""
    store = installed.folder / "-".join(["store", *map(str, arguments[:2])])
    installed("-m", "stbench", "run", *arguments, "-m", "mean", "--folds", "0", "-j", "2", "--store", store)
    sql = "SELECT model, metric, avg(value) AS value FROM slide_scores WHERE split = 'test' GROUP BY ALL"
    rows = json.loads(installed("-m", "stbench", "query", sql, "--store", store, "--format", "json"))
    return {(row["model"], row["metric"]): row["value"] for row in rows}


def test_models_run_and_beat_the_mean_and_the_metric_scores_them(installed: Installed) -> None:
    score = run(installed, "-d", "simulated", "-m", "scaf-cnn", "-m", "scaf-wrapped")

    for model in ("scaf-cnn", "scaf-wrapped"):
        assert score[model, "mse"] < score["mean", "mse"]
        assert score[model, "scaf-rank"] == pytest.approx(score[model, "pcc"], abs=0.1)


def test_a_dataset_runs(installed: Installed) -> None:
    data = installed.folder / "example"
    installed(installed.project("scaf-tissue") / "tests" / "example.py", data)

    score = run(installed, "-d", "scaf-tissue", "-m", "position", "--data-dir", data)

    assert {model for model, _ in score} == {"mean", "position"}
