"""``stbench plugins new``: what it says; what it writes is tested in tests/scaffold."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize("kind", ["model", "metric", "dataset"])
def test_it_says_what_to_do_next(kind: str, in_process, tmp_path: Path) -> None:
    done = in_process("plugins", "new", "stbench-fresh", "--kind", kind, "-o", str(tmp_path / "a b"))

    project = tmp_path / "a b" / "stbench-fresh"
    first, *commands = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert first.startswith(f"{project} holds the {kind} in ")
    assert commands[0] == f"  pip install -e '{project}[test]'"
    assert any(command.startswith("  stbench plugins check fresh") for command in commands)
    assert any(command.startswith("  stbench run ") for command in commands)
    assert commands[-1] == f"  pytest '{project}'"


def test_a_lightning_module_is_wrapped(in_process, tmp_path: Path) -> None:
    done = in_process("plugins", "new", "fresh", "--from-lightning", "mypackage.net:MyModule", "-o", str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "mypackage.net.MyModule" in (tmp_path / "stbench-fresh" / "stbench_fresh" / "model.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["Fresh!"], "use lower-case letters"),
        (["mean"], "choose another name"),
        (["fresh", "--kind", "protocol"], "give one of model, dataset, metric"),
        (["fresh", "--from-lightning", "nowhere"], "such as mypackage.net:MyModule"),
        (["fresh", "--kind", "metric", "--from-lightning", "a:B"], "say --kind model"),
    ],
)
def test_what_cannot_be_is_one_clear_error(arguments: list[str], remedy: str, in_process, tmp_path: Path) -> None:
    done = in_process("plugins", "new", *arguments, "-o", str(tmp_path))

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert remedy in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
