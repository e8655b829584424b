"""Suites: YAML files that name a whole matrix, such as the tables of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stbench.errors import UsageError
from stbench.matrix.request import ALL, ModelRequest, Request


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SuiteModel(_Strict):
    """A model of a suite, with its parameters."""

    name: str = Field(description="model, or NAME[param=1,2] to sweep a parameter")
    preset: str | None = Field(None, description="named parameters of the model")
    set: dict[str, Any] = Field({}, description="parameters by name; they go before the preset's")

    def request(self) -> ModelRequest:
        """What it asks of the planner."""
        named = ModelRequest.parse(self.name)
        return ModelRequest(named.name, named.sweep, self.preset, dict(self.set))


class SuiteRun(_Strict):
    """One matrix: every model on every data set under every protocol."""

    models: tuple[str | SuiteModel, ...] = Field(min_length=1, description="models, by name or with their parameters")
    datasets: tuple[str, ...] = Field(min_length=1, description="data sets")
    protocols: tuple[str, ...] = Field((), description="protocols; none: each data set's own")
    folds: str | None = Field(None, description="fold ids, or indexes into the complete list: 0,2-4")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds")
    precision: str = Field("float32", pattern="^(float32|bf16-mixed|16-mixed)$", description="precision of training")

    def model_requests(self) -> tuple[ModelRequest, ...]:
        """Its models as the planner takes them."""
        return tuple(ModelRequest.parse(m) if isinstance(m, str) else m.request() for m in self.models)


class Suite(_Strict):
    """A suite file."""

    title: str = Field(min_length=1, description="what it re-creates")
    about: str = Field("", description="what a reader should know: where numbers differ and why, what is missing")
    runs: tuple[SuiteRun, ...] = Field(min_length=1, description="matrices, in the order they run")


def read_suite(path: Path) -> Suite:
    """Read a suite file.

    Raises
    ------
    UsageError
        No such file, not YAML, or an entry that does not belong there; the message names it.
    """
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the suite {path}: {error}") from error
    if not isinstance(stated, dict):
        raise UsageError(f"{path} is not a suite: it needs title and runs; benchmarks/suites has examples")
    try:
        return Suite.model_validate(stated)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"suite {path}: {place}: {first['msg']}") from error


def suite_requests(suite: Suite, asked: Request) -> list[Request]:
    """Requests of a suite.

    Parameters
    ----------
    asked
        What the command says beside it: models, data sets and protocols choose among the suite's; folds, seeds and
        precision replace the suite's unless they are empty; settings and presets go before the suite's.

    Raises
    ------
    UsageError
        A name that the suite does not have, or a choice that leaves nothing.
    """
    models = [m.name for m in asked.models]
    if swept := [m.name for m in asked.models if m.sweep]:
        raise UsageError(f"-m {swept[0]}[…]: a suite says which parameters it sweeps; here -m chooses models by name")
    _refuse_strangers("-m", models, [m.name for run in suite.runs for m in run.model_requests()])
    _refuse_strangers("-d", asked.datasets, [d for run in suite.runs for d in run.datasets])
    _refuse_strangers("-p", asked.protocols, [p for run in suite.runs for p in run.protocols])
    requests = [
        Request(
            models=tuple(m for m in run.model_requests() if _chosen(m.name, models)),
            datasets=tuple(d for d in run.datasets if _chosen(d, asked.datasets)),
            protocols=tuple(p for p in run.protocols if _chosen(p, asked.protocols)),
            folds=asked.folds or run.folds,
            seeds=asked.seeds or run.seeds,
            settings=asked.settings,
            presets=asked.presets,
            precision=asked.precision or run.precision,
        )
        for run in suite.runs
    ]
    left = [
        request
        for request, run in zip(requests, suite.runs, strict=True)
        if request.models and request.datasets and (request.protocols or not run.protocols)
        if run.protocols or _chosen("", asked.protocols)  # a data set's own protocol has no name to be chosen by
    ]
    if not left:
        raise UsageError("no run of the suite has these models, data sets and protocols together")
    return left


def _chosen(name: str, among: Sequence[str]) -> bool:
    return not among or name in among or ALL in among


def _refuse_strangers(option: str, asked: Sequence[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known and name != ALL:
            have = ", ".join(dict.fromkeys(known)) or "none by name"
            raise UsageError(f"{option} {name}: with --suite it chooses among the suite's, which has {have}")
