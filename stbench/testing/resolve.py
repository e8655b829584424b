"""From what an author names, by name, spec or object, to what is checked."""

from __future__ import annotations

import difflib
from typing import Any

from stbench.datasets import Dataset
from stbench.errors import UsageError
from stbench.models import Model
from stbench.protocols import Protocol
from stbench.registry import Registered, Spec, discover


def resolve(kind: str, subject: Any) -> tuple[Any, list[str]]:
    """Return the spec of a registered name and the modules of its plugin; anything else as it is, without modules.

    Raises
    ------
    UsageError
        An unknown name.
    """
    if not isinstance(subject, str):
        return subject, []
    registry = discover()
    registered: Registered = registry.get(kind, subject)
    return registered.spec, [p.module for p in registry.plugins if p.distribution == registered.distribution]


def name_of(subject: Any) -> str:
    """What a spec, class, function or instance is called in a message."""
    name = getattr(subject, "name", None) or getattr(subject, "__name__", None) or type(subject).__name__
    return str(name)


def kind_of(subject: Any) -> str:
    """Tell what kind of plugin something is.

    Raises
    ------
    UsageError
        A name that nothing or several kinds have; an object that is no plugin.
    """
    if isinstance(subject, Spec):
        return subject.kind
    if isinstance(subject, str):
        return _kind_of_name(subject)
    for kind, classes in (("model", Model), ("dataset", Dataset)):
        if isinstance(subject, type) and issubclass(subject, classes):
            return kind
    if isinstance(subject, Protocol):
        return "protocol"
    raise UsageError(f"{subject!r} is no registered name, spec, model or dataset class, or protocol")


def _kind_of_name(name: str) -> str:
    short = name.rpartition(":")[2]
    registry = discover()
    kinds = [kind for kind in registry.specs if short in registry.names(kind)]
    if len(kinds) > 1:
        raise UsageError(f"{name} is the name of a {' and of a '.join(kinds)}; say which kind")
    if not kinds:
        everything = sorted({n for kind in registry.specs for n in registry.names(kind)})
        near = ", ".join(difflib.get_close_matches(short, everything, n=3))
        hint = f"did you mean {near}?" if near else "`stbench plugins ls` lists what is installed"
        raise UsageError(f"no plugin registers {name!r}; {hint}")
    return kinds[0]
