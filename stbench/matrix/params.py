"""Resolving a model's parameters: flag > suite > preset > default, each value with its source."""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from stbench.errors import UsageError
from stbench.matrix.request import ModelRequest
from stbench.registry import ModelSpec

SMOKE = "smoke"
SMOKE_DATASET = "simulated"


@dataclass(frozen=True)
class Resolved:
    """Parameters of one model as they will run.

    Attributes
    ----------
    values
        JSON values.
    by_content
        The same with files replaced by the hash of their content.
    sources
        Where each value came from: ``default``, ``preset NAME``, ``suite``, ``--set``, ``sweep``.
    preset
        The preset used, if it says anything.
    predict_stage
        Names of the parameters that training does not depend on.
    """

    values: dict[str, Any]
    by_content: dict[str, Any]
    sources: dict[str, str]
    preset: str
    predict_stage: frozenset[str] = frozenset()


def resolve(
    spec: ModelSpec, request: ModelRequest, dataset: str, preset: str | None, settings: Mapping[str, Any]
) -> Iterator[Resolved]:
    """Resolve a model's parameters for a dataset, once per combination it sweeps.

    Raises
    ------
    UsageError
        An unknown preset or parameter, or a value of the wrong type.
    """
    params_class = spec.load_params()
    chosen = _preset_for(spec, dataset, preset or request.preset)
    given = dict(spec.presets[chosen]) if chosen else {}
    named = chosen if given else ""
    sources = dict.fromkeys(given, f"preset {chosen}")
    for name in (*request.settings, *settings, *request.sweep):
        _refuse_unknown(spec, params_class, name)
    sources |= dict.fromkeys(request.settings, "suite") | dict.fromkeys(settings, "--set")
    sources |= dict.fromkeys(request.sweep, "sweep")
    predict_stage = params_class.predict_stage()
    for combination in itertools.product(*request.sweep.values()):
        swept = dict(zip(request.sweep, combination, strict=True))
        params = _validate(spec, params_class, given | request.settings | dict(settings) | swept)
        values = params.model_dump(mode="json")
        by_content = {name: _content(getattr(params, name), value) for name, value in values.items()}
        yield Resolved(values, by_content, {n: sources.get(n, "default") for n in values}, named, predict_stage)


def content_address(path: Path) -> str:
    """What stands for a file in a cell's key: the hash of its content."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _preset_for(spec: ModelSpec, dataset: str, asked: str | None) -> str:
    if asked is not None:
        if asked not in spec.presets:
            have = ", ".join(spec.presets) or "none"
            raise UsageError(f"model {spec.name} has no preset {asked!r}; it has: {have}")
        return asked
    if dataset in spec.presets:
        return dataset
    return SMOKE if dataset == SMOKE_DATASET and SMOKE in spec.presets else ""


def _refuse_unknown(spec: ModelSpec, params_class: type[BaseModel], name: str) -> None:
    fields = list(params_class.model_fields)
    if name in fields:
        return
    near = difflib.get_close_matches(name, fields, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it has: {', '.join(fields) or 'none'}"
    raise UsageError(f"model {spec.name} has no parameter {name!r}; {hint}")


def _validate(spec: ModelSpec, params_class: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    try:
        return params_class.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "parameters"
        got = f"={values[name]!r}" if name in values else ""
        raise UsageError(f"model {spec.name}: {name}{got}: {first['msg']}") from error


def _content(value: Any, dumped: Any) -> Any:
    return content_address(value) if isinstance(value, Path) else dumped
