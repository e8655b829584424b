"""The leaderboard of a store of 5,000 runs: from the runs' files, from the index, and the files merely read in a loop.

25 models, 10 seeds, 20 folds. Making the store takes half a minute.
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

GROUP = "leaderboard of 5,000 runs"
SLIDES = {f"S{i:02d}": f"P{i:02d}" for i in range(20)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("speed") / "store"
    truth = random_slides(0, tuple(SLIDES), (50, 100))
    for model, seed in product(range(25), range(10)):
        predicted = random_slides(10 * model + seed + 1, tuple(SLIDES), (50, 100))
        for slide, patient in SLIDES.items():
            cell = make_cell(patient, SLIDES, model=f"m{model:02d}", seed=seed)
            commit_run(root, cell, f"r{model:02d}-{seed}-{slide}", truth, {slide: predicted[slide]})
    return root


@pytest.mark.benchmark(group=GROUP)
def test_leaderboard_from_files(benchmark, root):
    registry = discover()
    benchmark(lambda: leaderboard(Store(root, use_index=False), registry, beside=BESIDE))


@pytest.mark.benchmark(group=GROUP)
def test_leaderboard_from_index(benchmark, root):
    benchmark.extra_info["ours"] = "from the index"
    registry = discover()
    compact(root)
    benchmark(lambda: leaderboard(Store(root), registry, beside=BESIDE))


@pytest.mark.benchmark(group=GROUP)
def test_reading_in_a_loop(benchmark, root):
    """Records and moments into one table of pandas, and not one score computed."""
    import pandas as pd

    def read():
        records = [json.loads(path.read_text()) for path in root.glob("runs/*/*/*/*/run.json")]
        moments = pd.concat(pd.read_parquet(path) for path in root.glob("runs/*/*/*/*/moments.parquet"))
        return records, moments

    benchmark(read)
