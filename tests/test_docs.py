"""Every code block of docs/writing-a-plugin.md is run, in order, as its reader would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

KINDS = ("model", "dataset", "metric", "protocol", "encoder")
GUIDE = Path(__file__).parents[1] / "docs" / "writing-a-plugin.md"

BLOCK = re.compile(r"(?P<before>[^\n]*)\n\n```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)

PIP = """#!/bin/sh
# `pip install -e FOLDER`, without the network and into a folder on the path
shift 2
exec {python} -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index \\
    --upgrade --target {target} "./$1"
"""
RUNS = """#!/bin/sh
exec {python} -m {module} "$@"
"""


def blocks() -> list[tuple[str, str, str]]:
    """(language, file the text before it names, text) of every block."""
    found = []
    for match in BLOCK.finditer(GUIDE.read_text()):
        named = re.findall(r"`([\w/.-]+\.(?:py|toml))`", match["before"])
        found.append((match["language"], named[-1] if named else "", match["text"]))
    return found


def test_every_block_is_a_file_or_a_script() -> None:
    assert {language for language, _, _ in blocks()} == {"sh", "toml", "python"}
    assert all(name for language, name, _ in blocks() if language != "sh")
    assert GUIDE.read_text().count("```") == 2 * len(blocks())


def table_of_checks() -> str:
    """The guide's tables, from the checks themselves."""
    parts = []
    for kind in KINDS:
        definitions = import_module(f"stbench.testing.{kind}").checks.definitions
        rows = [f"| `{d.id}` | {(d.function.__doc__ or '').strip().splitlines()[0]} | {d.why} |" for d in definitions]
        parts.append(
            "\n".join([f"### {kind.capitalize()}s", "", "| check | what it holds | why |", "|---|---|---|", *rows])
        )
    return "\n\n".join(parts) + "\n"


def test_the_tables_of_checks_are_those_of_the_kit() -> None:
    tables = GUIDE.read_text().partition("<!-- checks -->\n\n")[2]

    assert tables == table_of_checks()


@pytest.fixture
def shell(tmp_path: Path, cache_dir: Path) -> Callable[[str, Path], str]:
    """Runs a block of shell commands; pip installs into a folder of the test's own."""
    commands, target = tmp_path / "bin", tmp_path / "installed"
    commands.mkdir()
    scripts = {"pip": PIP.format(python=sys.executable, target=target)}
    scripts |= {m: RUNS.format(python=sys.executable, module=m) for m in ("stbench", "pytest")}
    scripts["python"] = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    for name, text in scripts.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STBENCH_", "PYTEST_"))}
    env = {
        **kept,
        "PATH": os.pathsep.join([str(commands), os.environ["PATH"]]),
        "PYTHONPATH": str(target),
        "STBENCH_CACHE": str(cache_dir),
    }

    def run(script: str, folder: Path) -> str:
        done = subprocess.run(
            ["sh", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_guide_works_from_top_to_bottom(shell: Callable[[str, Path], str], tmp_path: Path) -> None:
    project = tmp_path / "stbench-tutorial"
    for language, name, text in blocks():
        if language != "sh":
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text)
    rendered, checked = (text for language, _, text in blocks() if language == "sh")

    first = shell(rendered, tmp_path)
    second = shell(checked, project)

    assert "model tinycnn: conformant" in first
    for subject in ("model hue", "dataset checkers", "metric within_half"):
        assert f"{subject}: conformant" in second
    assert "within_half" in second
    assert "passed" in second
