"""A package imports only from floors below it (DESIGN.md §3); imports for typing and inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stbench

PACKAGE = Path(stbench.__file__).parent

FLOORS = {
    "errors": 0,
    "versions": 0,
    "stbench": 1,  # the package's own __init__
    "registry": 1,
    "slides": 1,
    "stats": 1,
    "datasets": 2,
    "metrics": 2,
    "models": 2,
    "protocols": 2,
    "builtin": 2,  # registers stbench's own specs by import strings
    "matrix": 3,
    "scaffold": 3,
    "testing": 3,  # what plugin authors import: made of floor 2
    "store": 4,
    "execution": 5,
    "report": 6,  # reads back what execution stored
    "cli": 7,
    "__main__": 8,
}


def owner(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "stbench" if parts == ("__init__",) else parts[0]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, first-level package) of every import of stbench in a file, wherever in the file it stands."""
    here = ("stbench", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"stbench.{a.name}" for a in node.names] if module == "stbench" else [module]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "stbench":
                first = rest.partition(".")[0]
                yield node.lineno, first if first in FLOORS else "stbench"


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_package_has_a_floor() -> None:
    found = {owner(path) for path in MODULES}

    assert found == set(FLOORS)


@pytest.mark.parametrize("package", sorted(FLOORS))
def test_imports_come_from_floors_below(package: str) -> None:
    violations = [
        f"{path.relative_to(PACKAGE.parent)}:{line} imports {other} (floor {FLOORS[other]})"
        for path in MODULES
        if owner(path) == package
        for line, other in imported(path)
        if other != package and FLOORS[other] >= FLOORS[package]
    ]

    assert violations == []


def test_the_parser_sees_imports_wherever_they_stand() -> None:
    seen = {other for _, other in imported(PACKAGE / "cli" / "run.py")}

    assert {"matrix", "store", "execution"} <= seen  # imported inside functions
    assert "models" in {other for _, other in imported(PACKAGE / "testing" / "slides.py")}


@pytest.mark.parametrize("package", ["registry", "stats", "slides"])
def test_the_ground_floor_of_logic_knows_only_errors_and_versions(package: str) -> None:
    others = {o for path in MODULES if owner(path) == package for _, o in imported(path)} - {package}

    assert others <= {"errors", "versions"}


def test_nobody_but_plugin_authors_and_the_command_line_import_testing() -> None:
    users = {owner(path) for path in MODULES for _, other in imported(path) if other == "testing"}

    assert users <= {"testing", "cli"}
