"""What slides of many bins cost, from ``stbench data import`` to stored metrics: seconds per stage, memory, disk.

    python benchmarks/speed/large_slides.py
    python benchmarks/speed/large_slides.py --bins 100000,1000000 --model position

For each number of 8 µm bins: two simulated sections in Space Ranger's Visium HD layout, a small one to train on and one
of that many bins, imported and run as a user would, in processes of their own. The model is a cheap one: what is
measured is everything else.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from stbench.datasets.simulated.hd_run import write_hd_run

BIN_UM, MULTIPLE_UM, TRAINED_UM = 8, 16, (1280, 1280)
TISSUE = 0.776
"""Share of a large simulated section that is tissue; bins elsewhere are not on the slide."""
STAGES = ("load", "protocol", "fit", "predict", "score", "commit")


def main() -> None:
    """Print one row per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bins", default="100000,300000,1000000")
    parser.add_argument("--model", default="mean")
    parser.add_argument("--protocol", default="pixnet-2025-clean")
    parser.add_argument("--folder", type=Path, help="default: a temporary one, removed in the end")
    asked = parser.parse_args()
    print("| bins | import | " + " | ".join(STAGES) + " | command | peak | predictions | truth |")
    print("|---:|" + "---:|" * (len(STAGES) + 5))
    for bins in map(int, asked.bins.split(",")):
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            print(row(bins, Path(folder), asked.model, asked.protocol), flush=True)


def row(bins: int, folder: Path, model: str, protocol: str) -> str:
    """Write the sections, import, run; one Markdown row."""
    side = MULTIPLE_UM * math.ceil(math.sqrt(bins / TISSUE) * BIN_UM / MULTIPLE_UM)
    sections = folder / "sections"
    write_hd_run(sections / "A" / "outs", TRAINED_UM, (BIN_UM,), patient=0)
    write_hd_run(sections / "B" / "outs", (side, side), (BIN_UM,), patient=1)
    (sections / "slides.csv").write_text(f"slide,patient\nA-{BIN_UM:03d}um,A\nB-{BIN_UM:03d}um,B\n")
    env = os.environ | {"STBENCH_CACHE": str(folder / "cache"), "STBENCH_DATASETS": str(folder / "datasets")}

    def stbench(*arguments: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "stbench", *arguments], env=env, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started

    imported = stbench("data", "import", str(sections), "--as", "large")
    task = ("-d", "large", "-p", protocol, "--folds", "B", "--keep", "predictions")
    command = stbench("run", "-m", model, *task, "--store", str(folder / "store"))
    (run,) = (folder / "store" / "runs").glob("*/*/*/*")
    record: dict[str, Any] = json.loads((run / "run.json").read_text())
    cost, (test,) = record["cost"], record["test"]
    values = test["n_spots"] * record["n_genes"]
    truth = sum(path.stat().st_size for path in (folder / "store" / "truth" / test["truth_key"]).rglob("*"))
    cells = [
        f"{test['n_spots']:,} × {record['n_genes']}",
        f"{imported:.1f} s",
        *(f"{cost['seconds'][stage]:.1f} s" for stage in STAGES),
        f"{command:.1f} s",
        f"{cost['peak_memory_mb'] / 1e3:.2f} GB",
        f"{record['files']['predictions.parquet'] / values:.2f} bytes a value",
        f"{truth / values:.2f} bytes a value",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
