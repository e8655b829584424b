"""What a user asks for, parsed but not yet resolved against plugins and data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stbench.errors import UsageError
from stbench.matrix.resources import Resources

ALL = "all"


@dataclass(frozen=True)
class ModelRequest:
    """A model's name, with the parameters it sweeps: ``sepal[hops=1,2]``.

    Attributes
    ----------
    preset, settings, resources
        What a suite file says of it; the command's own presets and settings go before them.
    """

    name: str
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    preset: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    resources: Resources | None = None

    @classmethod
    def parse(cls, text: str) -> ModelRequest:
        """Parse ``NAME`` or ``NAME[param=1,2;other=a,b]``."""
        match = re.fullmatch(r"([^\[\]]+)(?:\[(.+)\])?", text)
        if not match:
            raise UsageError(f"cannot read -m {text!r}; write NAME or NAME[param=1,2]")
        sweep = {}
        for term in (match[2] or "").split(";"):
            if term:
                name, values = _split(term, "-m NAME[param=1,2]")
                sweep[name] = tuple(parse_value(v) for v in values.split(","))
        return cls(match[1], sweep)


@dataclass(frozen=True)
class Squares:
    """Squares of the matrix, by what they have in common; what is None may be anything."""

    model: str | None = None
    dataset: str | None = None
    protocol: str | None = None
    fold: str | None = None
    seed: int | None = None

    def has(self, square: Squares) -> bool:
        """Whether one square is among these."""
        return all(value is None or value == getattr(square, name) for name, value in vars(self).items())


@dataclass(frozen=True)
class Request:
    """A run command.

    Attributes
    ----------
    models, datasets, protocols
        Names; ``all`` stands for every one that is installed. No protocol: each dataset's default.
    folds
        Fold ids or indexes into the complete list; None for all.
    test_on
        Another data set to test on, after training on all of each.
    settings
        Parameters by model name; the key ``""`` is for the only model there is.
    presets
        Preset by model name; the key ``""`` is for every model that has it.
    include, exclude
        Squares of the matrix to run, all if there are none, and squares to leave out.
    """

    models: tuple[ModelRequest, ...]
    datasets: tuple[str, ...]
    protocols: tuple[str, ...] = ()
    folds: str | None = None
    seeds: tuple[int, ...] = (0,)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    presets: dict[str, str] = field(default_factory=dict)
    precision: str = "float32"
    test_on: str = ""
    include: tuple[Squares, ...] = ()
    exclude: tuple[Squares, ...] = ()

    def wants(self, square: Squares) -> bool:
        """Whether one square of the matrix is to run."""
        included = not self.include or any(some.has(square) for some in self.include)
        return included and not any(some.has(square) for some in self.exclude)


def parse_value(text: str) -> Any:
    """Parse a value as JSON where it is JSON, else take it as a string."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_settings(terms: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Parse ``--set param=value`` and ``--set MODEL.param=value``."""
    settings: dict[str, dict[str, Any]] = {}
    for term in terms:
        target, value = _split(term, "--set [MODEL.]param=value")
        model, _, name = target.rpartition(".")
        settings.setdefault(model, {})[name] = parse_value(value)
    return settings


def parse_presets(terms: Sequence[str]) -> dict[str, str]:
    """Parse ``--preset NAME`` and ``--preset MODEL=NAME``."""
    presets = {}
    for term in terms:
        model, _, name = term.rpartition("=")
        presets[model] = name
    return presets


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse ``0,1,2`` or ``0-4``."""
    seeds: list[int] = []
    for token in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", token)
        asked = range(int(match[1]), int(match[2] or match[1]) + 1) if match else ()
        if not asked:
            raise UsageError(f"cannot read --seeds {text!r}; write 0,1,2 or 0-4")
        seeds += asked
    return tuple(dict.fromkeys(seeds))


def choose_folds(text: str | None, ids: Sequence[str]) -> list[str]:
    """Fold ids chosen by ``--folds``: ids, indexes or ranges of indexes into the complete list.

    Raises
    ------
    UsageError
        An id or index that is not in the list.
    """
    if text is None:
        return list(ids)
    chosen: list[str] = []
    for token in (t.strip() for t in text.split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", token)
        if token in ids:
            chosen.append(token)
        elif match and int(match[1]) <= int(match[2] or match[1]) < len(ids):
            chosen += ids[int(match[1]) : int(match[2] or match[1]) + 1]
        else:
            raise UsageError(f"no fold {token!r}; there are {len(ids)} (0-{len(ids) - 1}): {', '.join(ids)}")
    return list(dict.fromkeys(chosen))


def _split(term: str, form: str) -> tuple[str, str]:
    name, equals, value = term.partition("=")
    if not equals or not name:
        raise UsageError(f"cannot read {term!r}; the form is {form}")
    return name.strip(), value.strip()
