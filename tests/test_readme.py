"""The README's plugin is a working plugin."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """Environment in which the plugin printed in the README is installed."""
    blocks = re.findall(r"`([\w/.]+)`[^`]*```(?:toml|python)\n(.*?)```", README.read_text(), re.DOTALL)
    for name, text in blocks:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (entry_points,) = re.findall(
        r"\[project\.entry-points\.stbench\]\n(.*?)\n\n?", dict(blocks)["pyproject.toml"], re.DOTALL
    )
    info = tmp_path / "stbench_colour-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stbench-colour\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[stbench]\n{entry_points.replace(chr(34), '')}\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path), "STBENCH_CACHE": str(tmp_path / "cache")}


def test_the_printed_plugin_appears_and_is_healthy(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "stbench"]
    listed = subprocess.run(
        [*command, "ls", "models", "--format", "json"], env=installed, capture_output=True, text=True
    )
    assert "colour" in {row["name"] for row in json.loads(listed.stdout)}
    doctor = subprocess.run([*command, "plugins", "doctor"], env=installed, capture_output=True, text=True)
    assert doctor.returncode == 0, doctor.stdout


def test_the_printed_model_passes_the_conformance_kit(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "stbench", "plugins", "check", "colour"]
    checked = subprocess.run(command, env=installed, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "model colour: conformant" in checked.stdout


def test_the_two_commands_are_the_ones_of_the_makefile() -> None:
    targets = set(re.findall(r"^(\w+):", (README.parent / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make (\w+)", README.read_text(), re.MULTILINE)) == {"demo", "test"} <= targets
