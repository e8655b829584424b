from __future__ import annotations

import ast
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stbench.errors import UsageError
from stbench.scaffold import Kind, render
from stbench.versions import API_VERSION

KINDS = [kind.value for kind in Kind]
NAMES = ["x", "tinycnn", "a-longer-name", "n0123456-n0123456-n0123456-n0123"]
MODULE = "mypackage.net:MyModule"

MODEL_FILES = [
    ".github/workflows/ci.yml", ".gitignore", "LICENSE", "README.md", "pyproject.toml", "stbench_tinycnn/__init__.py",
    "stbench_tinycnn/model.py", "stbench_tinycnn/params.py", "stbench_tinycnn/plugin.py", "tests/test_conformance.py",
]  # fmt: skip

CONFORMANCE = """\
from stbench.testing import parametrize_with_checks


@parametrize_with_checks("tinycnn")
def test_conformance(check):
    check()
"""


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Projects of every kind under names of every length."""
    folder = tmp_path_factory.mktemp("rendered")
    for name in NAMES:
        for kind in KINDS:
            render(name, kind, folder / kind)
        render(name, "model", folder / "lightning", MODULE)
    return folder


def test_a_model_project_has_these_files(tmp_path: Path) -> None:
    files = render("tinycnn", "model", tmp_path)

    project = tmp_path / "stbench-tinycnn"
    assert [file.relative_to(project).as_posix() for file in files] == MODEL_FILES
    assert contents(project)["tests/test_conformance.py"] == CONFORMANCE
    assert list(tmp_path.iterdir()) == [project]


def test_the_prefix_is_optional(tmp_path: Path) -> None:
    render("tinycnn", "model", tmp_path / "short")
    render("stbench-tinycnn", "model", tmp_path / "long")

    assert contents(tmp_path / "short") == contents(tmp_path / "long")


def test_every_file_is_filled_in_and_python_compiles(rendered: Path) -> None:
    for path, text in contents(rendered).items():
        assert not any(mark in path + text for mark in ("{{", "}}", "{%", "{#", ".jinja")), path
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        if path.endswith(".py"):
            ast.parse(text)


def test_projects_are_clean_for_ruff(rendered: Path) -> None:
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, str(rendered)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_entry_point_leads_to_the_plugin(kind: str, rendered: Path) -> None:
    for name in NAMES:
        project = rendered / kind / f"stbench-{name}"
        said = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        (value,) = said["entry-points"]["stbench"].values()
        assert said["name"] == project.name
        assert "stbench" in said["dependencies"]
        source = (project / f"{value.replace('.', '/')}.py").read_text()
        assert f'STBENCH_API = "{API_VERSION}"' in source
        imported = [node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
        assert imported == ["__future__", "stbench.registry"]


def test_a_lightning_module_is_wrapped_not_written(rendered: Path) -> None:
    project = rendered / "lightning" / "stbench-tinycnn"

    model = (project / "stbench_tinycnn" / "model.py").read_text()

    assert "import mypackage.net\n" in model
    assert "return mypackage.net.MyModule(n_genes=n_genes)" in model
    assert len(model.splitlines()) < 20
    assert "(b, 3, pixels, pixels) float32 in 0–1" in (project / "README.md").read_text()


def test_what_brings_the_lightning_module_becomes_a_dependency_if_it_is_here(tmp_path: Path) -> None:
    render("here", "model", tmp_path, "sklearn.nowhere:Module")
    render("unknown", "model", tmp_path, MODULE)

    here, unknown = ((tmp_path / f"stbench-{name}" / "pyproject.toml").read_text() for name in ("here", "unknown"))
    assert '"scikit-learn",' in here
    assert "# add the distribution that brings mypackage.net" in unknown
    assert '"mypackage' not in unknown


@pytest.mark.parametrize(
    "name", ["", "stbench-", "Tiny", "tiny_cnn", "3d", "-x", "x-", "a--b", "a b", "../x", "x" * 33]
)
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="use lower-case letters"):
        render(name, "model", tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["none", "patch", "lightning-model", "dataset", "row"])
def test_names_whose_class_would_hide_another_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="say more"):
        render(name, "model", tmp_path)


@pytest.mark.parametrize(("name", "kind"), [("mean", "model"), ("stbench-her2st", "dataset"), ("pcc", "metric")])
def test_registered_names_are_refused(name: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is registered here by stbench; choose another name"):
        render(name, kind, tmp_path)


def test_other_requests_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'modle'; give one of model, dataset, metric"):
        render("x", "modle", tmp_path)
    with pytest.raises(UsageError, match="leave it out, or say --kind model"):
        render("x", "metric", tmp_path, MODULE)
    for wrong in ("", "mypackage", "mypackage.net", "mypackage:", ":MyModule", "my-package:MyModule", "a:b.c", "a b:c"):
        with pytest.raises(UsageError, match=f"such as {MODULE}"):
            render("x", "model", tmp_path, wrong)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    project = tmp_path / "stbench-x"
    project.mkdir()
    (project / "mine.txt").write_text("mine")

    with pytest.raises(UsageError, match="not empty; remove it, or choose another folder"):
        render("x", "model", tmp_path)

    assert contents(tmp_path) == {"stbench-x/mine.txt": "mine"}


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "stbench-x").mkdir()

    render("x", "metric", tmp_path)

    assert "pyproject.toml" in contents(tmp_path / "stbench-x")


def test_others_may_read_the_project(tmp_path: Path) -> None:
    (tmp_path / "ordinary").mkdir()
    render("x", "model", tmp_path)

    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "stbench-x")}
    assert len(modes) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_gives_out_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from stbench.scaffold import render\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "render('x', 'model', Path(sys.argv[1]))\n"
    )

    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)

    assert "UsageError" in done.stderr
    assert "cannot be written (File too large); choose another folder" in done.stderr
    assert not list(tmp_path.iterdir())
