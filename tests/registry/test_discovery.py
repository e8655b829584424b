"""Plugins are loaded one by one: a broken one costs itself only, and every message says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path

import pytest

from stbench.errors import UsageError
from stbench.registry import Registry
from stbench.registry._discovery import HOOKS, IN_THIS_REPOSITORY, load_plugins

REPOSITORY = Path(__file__).parents[2]

HEAD = """
from stbench.registry import DatasetSpec, ModelSpec, hookimpl
STBENCH_API = "1"
"""


def offering(model: str) -> str:
    return f"""{HEAD}
@hookimpl
def stbench_models():
    return [ModelSpec(name="{model}", factory="m:M", params="m:P")]
"""


class Site:
    """A folder of installed distributions, each with one plugin module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, source: str, version: str = "1.0") -> None:
        module = f"fake_{distribution.replace('-', '_')}_plugin"
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[console_scripts]\nx = x:y\n\n[stbench]\n{distribution} = {module}\n")

    def load(self) -> Registry:
        installed = sorted(distributions(path=[str(self.folder)]), key=lambda d: d.metadata["Name"])
        return load_plugins([(e, d) for d in installed for e in d.entry_points if e.group == "stbench"])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    yield Site(tmp_path)
    for name in [n for n in sys.modules if n.startswith("fake_")]:
        del sys.modules[name]


def test_a_plugin_appears_with_its_distribution_and_version(site: Site) -> None:
    site.install("stbench-sepal", offering("sepal"), version="2.3")

    found = site.load().get("model", "sepal")

    assert (found.spec.name, found.distribution, found.version) == ("sepal", "stbench-sepal", "2.3")
    assert found.qualified == "stbench-sepal:sepal"


BROKEN = {
    "import error": ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
    "syntax error": ("def (", "SyntaxError"),
    "exit at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "no API": ("", "written for STBENCH_API None, this is stbench with API '1'"),
    "other API": ('STBENCH_API = "0"', "written for STBENCH_API '0', this is stbench with API '1'; upgrade the plugin"),
    "bad signature": (f"{HEAD}\n@hookimpl\ndef stbench_models(config): return []", "PluginValidationError"),
    "unknown hook": (f"{HEAD}\n@hookimpl\ndef stbench_flavours(): return []", "unknown hook 'stbench_flavours'"),
    "not specs": (
        f"{HEAD}\n@hookimpl\ndef stbench_models(): return ['x']",
        "stbench_models returned str, not ModelSpec",
    ),
    "spec of another kind": (
        f"{HEAD}\n@hookimpl\ndef stbench_models(): return [DatasetSpec(name='d', factory='a:b')]",
        "stbench_models returned DatasetSpec, not ModelSpec",
    ),
    "None": (
        f"{HEAD}\n@hookimpl\ndef stbench_models(): pass",
        "stbench_models returned NoneType, not a list of ModelSpec",
    ),
    "one spec": (
        f"{HEAD}\n@hookimpl\ndef stbench_models(): return ModelSpec(name='m', factory='a:b', params='a:b')",
        "stbench_models returned ModelSpec, not a list of ModelSpec",
    ),
    "raises": (f"{HEAD}\n@hookimpl\ndef stbench_models(): raise ValueError('out of tea')", "ValueError: out of tea"),
    "exits in a hook": (f"{HEAD}\n@hookimpl\ndef stbench_models(): raise SystemExit(1)", "SystemExit: 1"),
    "bad name": (offering("Not A Name"), "model name 'Not A Name' does not match"),
}


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_between_two_good_ones_leaves_both(site: Site, source: tuple[str, str]) -> None:
    code, message = source
    site.install("a-good", offering("first"))
    site.install("b-broken", code)
    site.install("c-good", offering("last"))

    registry = site.load()

    assert registry.names("model") == ["first", "last"]
    (broken,) = registry.broken
    assert (broken.distribution, broken.version, broken.module) == ("b-broken", "1.0", "fake_b_broken_plugin")
    assert message in broken.problem
    assert "Traceback" in broken.details
    assert [p.problem for p in registry.plugins if p is not broken] == ["", ""]


def test_a_plugin_counts_whole_or_not_at_all(site: Site) -> None:
    site.install("half", f"{offering('fine')}\n@hookimpl\ndef stbench_datasets(): raise ValueError\n")

    registry = site.load()

    assert registry.names("model") == []
    assert len(registry.broken) == 1


def test_a_name_claimed_twice_is_an_error_only_when_it_is_asked_for(site: Site) -> None:
    site.install("stbench-one", offering("sepal"))
    site.install("stbench-two", offering("sepal"))
    site.install("stbench-other", offering("other"))

    registry = site.load()

    assert registry.broken == []
    assert registry.names("model") == ["other", "sepal"]
    assert registry.get("model", "other").distribution == "stbench-other"
    with pytest.raises(UsageError, match="say which: stbench-one:sepal or stbench-two:sepal"):
        registry.get("model", "sepal")
    assert registry.get("model", "stbench-two:sepal").distribution == "stbench-two"


def test_an_unknown_name_gets_near_matches(site: Site) -> None:
    site.install("a", offering("hist2st"))
    registry = site.load()

    with pytest.raises(UsageError, match=r"unknown model 'hist2s'; did you mean hist2st\?"):
        registry.get("model", "hist2s")
    with pytest.raises(UsageError, match=r"unknown model 'zzz'; `stbench ls models` lists: hist2st"):
        registry.get("model", "zzz")
    with pytest.raises(UsageError, match="unknown model 'other:hist2st'"):
        registry.get("model", "other:hist2st")
    with pytest.raises(UsageError, match="unknown dataset 'hist2st'; `stbench ls datasets` lists: none"):
        registry.get("dataset", "hist2st")


def test_a_method_of_this_repository_gets_its_install_line() -> None:
    with pytest.raises(
        UsageError, match="unknown model 'histogene'; install its plugin: pip install stbench-histogene"
    ):
        load_plugins([]).get("model", "histogene")


def test_the_install_lines_agree_with_the_plugins_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {}
    for pyproject in REPOSITORY.glob("plugins/*/pyproject.toml"):
        project = tomllib.loads(pyproject.read_text())["project"]
        monkeypatch.syspath_prepend(pyproject.parent)
        for module in project["entry-points"]["stbench"].values():
            plugin = import_module(module)
            models = plugin.stbench_models() if hasattr(plugin, "stbench_models") else []
            offered |= {spec.name: project["name"] for spec in models}

    assert offered == IN_THIS_REPOSITORY


def in_fresh_python(code: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    return ran.stdout.strip()


def test_discovery_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'timm', 'lightning', 'scanpy', 'anndata', 'polars', 'duckdb', 'pandas', 'scipy', 'numpy'}"
    code = (
        "import sys; from stbench.registry import discover; registry = discover();"
        f"print(sorted({heavy} & set(sys.modules)), 'ridge' in registry.names('model'))"
    )

    assert in_fresh_python(code) == "[] True"


def test_a_distribution_found_twice_on_the_path_counts_once(tmp_path: Path) -> None:
    for folder, model in (("front", "new"), ("back", "old")):
        (tmp_path / folder).mkdir()
        Site(tmp_path / folder).install("stbench-twice", offering(model))
    path = os.pathsep.join([str(tmp_path / "front"), str(tmp_path / "back")])
    code = (
        "from stbench.registry import discover; registry = discover();"
        "print([p.distribution for p in registry.plugins].count('stbench-twice'), 'new' in registry.names('model'))"
    )

    assert in_fresh_python(code, PYTHONPATH=path) == "1 True"


def test_what_stbench_brings_itself_is_whole() -> None:
    from stbench.registry import discover

    own = [p for p in discover().plugins if p.distribution == "stbench"]
    specs = [r.spec for kind in HOOKS.values() for r in discover().all(kind.kind) if r.distribution == "stbench"]

    assert [p.problem for p in own] == [""]
    assert {s.kind for s in specs} == {kind.kind for kind in HOOKS.values()}
    for spec in specs:
        assert spec.title
        assert callable(spec.load()) or spec.kind == "protocol"
        if spec.kind == "model":
            presets = spec.presets.values()
            assert all(spec.load_params().model_validate(dict(values)) for values in presets)
            assert "smoke" in spec.presets
