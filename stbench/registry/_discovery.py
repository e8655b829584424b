"""Finding plugins one by one, so that a broken one costs itself only.

pluggy's own ``load_setuptools_entrypoints`` stops at the first plugin that raises and leaves nothing registered.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

import pluggy

from stbench.errors import UsageError
from stbench.registry import _hookspecs
from stbench.registry._specs import (
    DatasetSpec,
    EncoderSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    ProtocolSpec,
    Spec,
)
from stbench.versions import API_VERSION

GROUP = "stbench"

HOOKS: dict[str, type[Spec]] = {
    "stbench_models": ModelSpec,
    "stbench_datasets": DatasetSpec,
    "stbench_metrics": MetricSpec,
    "stbench_protocols": ProtocolSpec,
    "stbench_encoders": EncoderSpec,
    "stbench_executors": ExecutorSpec,
}

IN_THIS_REPOSITORY = {
    "hggep": "stbench-hggep",
    "histogene": "stbench-histogene",
    "sepal": "stbench-sepal",
    "st-net": "stbench-stnet",
    "bleep": "stbench-bleep",
    "st-gchb": "stbench-gchb",
    "random-retrieval": "stbench-bleep",
    "pixnet": "stbench-pixnet",
    "vit": "stbench-sepal",
    "vit-delta": "stbench-sepal",
    "vit-delta-s7": "stbench-sepal",
}
"""Models whose plugin lives in plugins/: an unknown name gets its install line."""


@dataclass(frozen=True)
class Registered:
    """A spec and the distribution that brought it."""

    spec: Any
    distribution: str
    version: str

    @property
    def qualified(self) -> str:
        """``distribution:name``, unambiguous."""
        return f"{self.distribution}:{self.spec.name}"


@dataclass(frozen=True)
class Plugin:
    """One entry point and what became of it."""

    entry_point: str
    module: str
    distribution: str
    version: str
    problem: str = ""
    details: str = ""


@dataclass
class Registry:
    """Everything that was found, by kind."""

    plugins: list[Plugin] = field(default_factory=list)
    specs: dict[str, list[Registered]] = field(default_factory=lambda: {s.kind: [] for s in HOOKS.values()})

    def names(self, kind: str) -> list[str]:
        """Sorted names of one kind."""
        return sorted({r.spec.name for r in self.specs[kind]})

    def all(self, kind: str) -> list[Registered]:
        """Everything of one kind, sorted by name."""
        return sorted(self.specs[kind], key=lambda r: (r.spec.name, r.distribution))

    def get(self, kind: str, name: str) -> Registered:
        """Return the one called `name` (or ``distribution:name``).

        Raises
        ------
        UsageError
            Unknown (with near-matches) or claimed by two distributions (naming both).
        """
        distribution, _, short = name.rpartition(":")
        found = [
            r for r in self.specs[kind] if r.spec.name == short and (not distribution or r.distribution == distribution)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(sorted(r.qualified for r in found))
            raise UsageError(f"{kind} {name!r} is offered by several plugins; say which: {choices}")
        raise UsageError(self._unknown(kind, name, short))

    def _unknown(self, kind: str, name: str, short: str) -> str:
        names = self.names(kind)
        message = f"unknown {kind} {name!r}"
        if kind == "model" and short in IN_THIS_REPOSITORY:
            return f"{message}; install its plugin: pip install {IN_THIS_REPOSITORY[short]}"
        near = difflib.get_close_matches(short, names, n=3)
        if near:
            return f"{message}; did you mean {', '.join(near)}?"
        return f"{message}; `stbench ls {kind}s` lists: {', '.join(names) or 'none'}"

    @property
    def broken(self) -> list[Plugin]:
        """Plugins that could not be used."""
        return [p for p in self.plugins if p.problem]


@cache
def discover() -> Registry:
    """Load every plugin of this environment, once per process."""
    return load_plugins(_entry_points())


def _entry_points() -> list[tuple[EntryPoint, Distribution]]:
    """Entry points of the group, each distribution counted once, as ``sys.path`` orders them.

    The metadata of distributions that have none are not parsed: of hundreds that took half a second.
    """
    found = [(entry, entry.dist) for entry in entry_points(group=GROUP)]
    return [(entry, dist) for entry, dist in found if dist and dist.metadata and dist.metadata["Name"]]


def load_plugins(named: Iterable[tuple[EntryPoint, Distribution]]) -> Registry:
    """Load each entry point in isolation.

    Parameters
    ----------
    named
        Pairs of an entry point and its distribution.
    """
    registry = Registry()
    manager = pluggy.PluginManager(_hookspecs.PROJECT)
    manager.add_hookspecs(_hookspecs)
    for entry_point, distribution in named:
        origin = (distribution.metadata["Name"], distribution.version)
        name = f"{origin[0]}:{entry_point.name}"
        try:
            specs = _specs_of(manager, entry_point.load(), name)
            problem = details = ""
        except (Exception, SystemExit) as error:  # a third party's module may raise anything
            if manager.has_plugin(name):
                manager.unregister(name=name)
            specs = []
            problem = f"{type(error).__name__}: {error}"
            details = traceback.format_exc()
        registry.plugins.append(Plugin(entry_point.name, entry_point.value, *origin, problem, details))
        for spec in specs:
            registry.specs[spec.kind].append(Registered(spec, *origin))
    return registry


def _specs_of(manager: pluggy.PluginManager, module: object, name: str) -> Sequence[Spec]:
    stated = getattr(module, "STBENCH_API", None)
    if stated != API_VERSION:
        raise RuntimeError(
            f"written for STBENCH_API {stated!r}, this is stbench with API {API_VERSION!r}; "
            "upgrade the plugin, or install the stbench version it names"
        )
    manager.register(module, name)
    manager.check_pending()
    specs: list[Spec] = []
    for hook, kind in HOOKS.items():
        own = [i for i in getattr(manager.hook, hook).get_hookimpls() if i.plugin is module]
        for implementation in own:
            returned = implementation.function()
            if not isinstance(returned, Iterable):
                raise TypeError(f"{hook} returned {type(returned).__name__}, not a list of {kind.__name__}")
            for spec in returned:
                if not isinstance(spec, kind):
                    raise TypeError(f"{hook} returned {type(spec).__name__}, not {kind.__name__}")
                specs.append(spec)
    return specs
