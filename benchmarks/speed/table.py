"""All claims of speed as one Markdown table: ``python benchmarks/speed/table.py [-k EXPRESSION] [-o FILE.md]``.

Of each group of benchmarks the first is ours, the others are what one would write first; all are timed in this run. A
ratio is the alternative's median time over ours. In ``extra_info`` a benchmark may say that it is ours, too (``ours``:
what is different), and how many of the thing named it timed (``times``).
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
    for group in dict.fromkeys(b["group"] for b in benchmarks):
        members = [b for b in benchmarks if b["group"] == group]
        first, *more = members
        ours = [first, *(b for b in more if "ours" in b["extra_info"])]
        others = [b for b in more if b not in ours]
        for own in ours:
            what = ", ".join(filter(None, (group, own["extra_info"].get("ours"))))
            if not others:
                yield f"| {what} | {shown(median(own))} | – | – |"
            for other in others:
                name = other["name"].partition("[")[0].removeprefix("test_").replace("_", " ")
                ratio = median(other) / median(own)
                yield f"| {what} | {shown(median(own))} | {name}: {shown(median(other))} | {ratio:.1f} |"


def median(benchmark: dict[str, Any]) -> float:
    """Seconds that one of the thing named takes."""
    return float(benchmark["stats"]["median"]) / int(benchmark["extra_info"].get("times", 1))


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
