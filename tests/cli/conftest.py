from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

TOY = Path(__file__).parents[1] / "toy"
COMMAND = (sys.executable, "-m", "stbench")

GOOD_HOOK = """
from stbench.registry import ModelSpec, hookimpl
STBENCH_API = {api!r}
@hookimpl
def stbench_models():
    return [ModelSpec(name={name!r}, factory={factory!r}, params="stbench.models.mean:MeanParams")]
"""
PLUGINS = {
    "broken-import": "import a_module_that_does_not_exist",
    "broken-exit": "import sys; sys.exit(3)",
    "broken-api": GOOD_HOOK.format(api="0", name="old-model", factory="stbench.models.mean:Mean"),
    "broken-name": GOOD_HOOK.format(api="1", name="No Good Name", factory="stbench.models.mean:Mean"),
}
CONTESTED = {
    "rival": GOOD_HOOK.format(api="1", name="position", factory="stbench.models.mean:Mean"),
    "hollow-plugin": GOOD_HOOK.format(api="1", name="hollow", factory="stbench.models.mean:Nowhere"),
}


@dataclass(frozen=True)
class Stbench:
    """The command line in a process of its own, with the toy plugin installed."""

    folder: Path
    env: dict[str, str]

    def __call__(self, *arguments: str, store: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(arguments, store),
            cwd=self.folder,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str, store: Path, **env: str) -> subprocess.Popen[str]:
        """Start without waiting, as the leader of a session and a process group."""
        return subprocess.Popen(
            self.command(arguments, store),
            cwd=self.folder,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def json(self, *arguments: str, store: Path | None = None) -> Any:
        done = self(*arguments, "--format", "json", store=store)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def query(self, sql: str, store: Path) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.json("query", sql, store=store)
        return rows

    def command(self, arguments: Sequence[str], store: Path | None) -> list[str]:
        return [*COMMAND, *arguments, *(["--store", str(store)] if store else [])]


@pytest.fixture(scope="session")
def stbench(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Stbench:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STBENCH_") and name != "NO_COLOR"}
    env = kept | {"STBENCH_CACHE": str(cache_dir), "PYTHONPATH": str(TOY)}
    return Stbench(tmp_path_factory.mktemp("cwd"), env)


def install_plugin(folder: Path, name: str, source: str) -> None:
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[stbench]\n{name} = {module}\n")


@pytest.fixture(scope="session")
def install() -> Callable[[Path, str, str], None]:
    """Install a plugin into a folder: its name and its module's source."""
    return install_plugin


@pytest.fixture(scope="session")
def broken(stbench: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The command line with plugins installed that break, claim a taken name, or name what does not exist."""
    folder = tmp_path_factory.mktemp("broken")
    for name, source in (PLUGINS | CONTESTED).items():
        install_plugin(folder, name, source)
    path = os.pathsep.join([stbench.env["PYTHONPATH"], str(folder)])
    return replace(stbench, env=stbench.env | {"PYTHONPATH": path})


@pytest.fixture(scope="session")
def broken_names() -> list[str]:
    """Plugins that cannot be used at all."""
    return sorted(PLUGINS)


@dataclass(frozen=True)
class Finished:
    """A command that ran, and its store."""

    store: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def sweep(broken: Stbench, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two parameter sets × two seeds of a model, and a deterministic one; one patient; beside broken plugins."""
    store = tmp_path_factory.mktemp("sweep") / "store"
    models = ("-m", "toy-good[noise=0.01,0.5]", "-m", "mean", "--seeds", "0-1", "-j", "2")
    task = ("-d", "toy-single", "-p", "stbench-section-v1", "--folds", "P1-S2")
    return Finished(store, broken("run", *models, *task, store=store))


@pytest.fixture
def in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache_dir: Path
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """The command line in this process, for the many questions that need no process of their own."""
    from stbench.cli import main
    from stbench.registry import discover

    def run(*arguments: str, store: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = ["stbench", *arguments, *(["--store", str(store)] if store else [])]
        monkeypatch.setattr(sys, "argv", command)
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return subprocess.CompletedProcess(command, code, *capsys.readouterr())

    for name in [name for name in os.environ if name.startswith("STBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STBENCH_CACHE", str(cache_dir))
    monkeypatch.syspath_prepend(str(TOY))
    discover.cache_clear()
    yield run
    discover.cache_clear()
