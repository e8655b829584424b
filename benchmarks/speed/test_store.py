"""The leaderboard of stores of 100 to 5,000 runs: from the runs' files, from the index, and the files read in a loop.

Up to 25 models, 10 seeds, 20 folds. Making the largest store takes half a minute.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import pytest

from stbench.registry import discover
from stbench.report.leaderboard import leaderboard
from stbench.report.leaderboard_table import BESIDE
from stbench.store import Store
from stbench.store.compact import compact

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from handmade import commit_run, make_cell, random_slides

MATRICES = {100: (5, 1), 1_000: (25, 2), 5_000: (25, 10)}
"""Models and seeds of so many runs, in 20 folds."""
SLIDES = {f"S{i:02d}": f"P{i:02d}" for i in range(20)}


@pytest.fixture(scope="module", params=MATRICES)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    n_models, n_seeds = MATRICES[request.param]
    root = tmp_path_factory.mktemp("speed") / "store"
    truth = random_slides(0, tuple(SLIDES), (50, 100))
    for model, seed in product(range(n_models), range(n_seeds)):
        predicted = random_slides(10 * model + seed + 1, tuple(SLIDES), (50, 100))
        for slide, patient in SLIDES.items():
            cell = make_cell(patient, SLIDES, model=f"m{model:02d}", seed=seed)
            commit_run(root, cell, f"r{model:02d}-{seed}-{slide}", truth, {slide: predicted[slide]})
    return root


@pytest.fixture
def group(benchmark, root):
    benchmark.group = f"leaderboard of {len(list(root.glob('runs/*/*/*/*'))):,} runs"


@pytest.mark.usefixtures("group")
def test_leaderboard_from_files(benchmark, root):
    registry = discover()
    benchmark.pedantic(lambda: leaderboard(Store(root, use_index=False), registry, beside=BESIDE), rounds=3)


@pytest.mark.usefixtures("group")
def test_leaderboard_from_index(benchmark, root):
    benchmark.extra_info["ours"] = "from the index"
    registry = discover()
    compact(root)
    benchmark.pedantic(lambda: leaderboard(Store(root), registry, beside=BESIDE), rounds=3)


@pytest.mark.usefixtures("group")
def test_reading_in_a_loop(benchmark, root):
    """Records and moments into one table of pandas, and not one score computed."""
    import pandas as pd

    def read():
        records = [json.loads(path.read_text()) for path in root.glob("runs/*/*/*/*/run.json")]
        moments = pd.concat(pd.read_parquet(path) for path in root.glob("runs/*/*/*/*/moments.parquet"))
        return records, moments

    benchmark.pedantic(read, rounds=3)
