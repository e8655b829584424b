"""All claims of speed as one Markdown table: ``python benchmarks/speed/table.py [-k EXPRESSION] [-o FILE.md]``.

Of each group of benchmarks the first is ours, the others are what one would write first; all are timed in this run. A
ratio is the alternative's median time over ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def measure(chosen: str) -> list[dict[str, Any]]:
    """Run the benchmarks; what pytest-benchmark says of each, in the order of the files."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", str(HERE), "-q", "-p", "no:xdist", f"--benchmark-json={report}"]
        subprocess.run([*command, *(["-k", chosen] if chosen else [])], check=False)
        return list(json.loads(report.read_text())["benchmarks"]) if report.is_file() else []


def rows(benchmarks: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown rows, one per alternative."""
    yield "| what | here | alternative | ratio |"
    yield "|---|---:|---|---:|"
    for group, members in groupby(benchmarks, key=lambda b: b["group"]):
        ours, *others = members
        time = ours["stats"]["median"]
        if not others:
            yield f"| {group} | {shown(time)} | – | – |"
        for other in others:
            name = other["name"].removeprefix("test_").replace("_", " ")
            against = other["stats"]["median"]
            yield f"| {group} | {shown(time)} | {name}: {shown(against)} | {against / time:.1f} |"


def shown(seconds: float) -> str:
    """A time with a unit that suits it."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", default="", help="only benchmarks whose names match, as pytest takes it")
    parser.add_argument("-o", type=Path, help="write the table to this file, too")
    asked = parser.parse_args()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    text = "\n".join([*rows(measure(asked.k)), "", f"Medians on {machine}; both sides of each ratio in one run."])
    print(text)
    if asked.o:
        asked.o.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
