"""Suites: YAML files that name a whole matrix, such as the tables of a paper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stbench.errors import UsageError
from stbench.matrix.request import ALL, ModelRequest, Request, Squares
from stbench.matrix.resources import Resources


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SuiteModel(_Strict):
    """A model of a suite, with its parameters."""

    name: str = Field(description="model, or NAME[param=1,2] to sweep a parameter")
    preset: str | None = Field(None, description="named parameters of the model")
    set: dict[str, Any] = Field({}, description="parameters by name; they go before the preset's")
    resources: Resources | None = Field(None, description="what a cell of it needs: hints for the executor")

    def request(self) -> ModelRequest:
        """What it asks of the planner."""
        named = ModelRequest.parse(self.name)
        return ModelRequest(named.name, named.sweep, self.preset, dict(self.set), self.resources)


class SuiteSquares(_Strict):
    """Squares of the matrix by what they have in common; what is not said may be anything."""

    model: str | None = Field(None, description="model, by name")
    dataset: str | None = Field(None, description="data set")
    protocol: str | None = Field(None, description="protocol")
    fold: str | None = Field(None, description="fold id")
    seed: int | None = Field(None, description="seed")

    def squares(self) -> Squares:
        """The same as the planner takes it."""
        return Squares(self.model, self.dataset, self.protocol, self.fold, self.seed)


class SuiteRun(_Strict):
    """One matrix: every model on every data set under every protocol."""

    models: tuple[str | SuiteModel, ...] = Field(min_length=1, description="models, by name or with their parameters")
    datasets: tuple[str, ...] = Field(min_length=1, description="data sets")
    protocols: tuple[str, ...] = Field((), description="protocols; none: each data set's own")
    test_on: str = Field("", description="another data set to test on, after training on all of each")
    folds: str | None = Field(None, description="fold ids, or indexes into the complete list: 0,2-4")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="seeds")
    precision: str = Field("float32", pattern="^(float32|bf16-mixed|16-mixed)$", description="precision of training")
    include: tuple[SuiteSquares, ...] = Field((), description="squares of the matrix to run; none: all")
    exclude: tuple[SuiteSquares, ...] = Field((), description="squares of the matrix to leave out")

    @model_validator(mode="after")
    def _no_strangers(self) -> SuiteRun:
        models = [model.name for model in self.model_requests()]
        for squares in (*self.include, *self.exclude):
            for kind, name, known in (
                ("model", squares.model, models),
                ("dataset", squares.dataset, self.datasets),
                ("protocol", squares.protocol, self.protocols or (ALL,)),
            ):
                if name and name not in known and ALL not in known:
                    raise ValueError(f"include or exclude names {kind} {name}, but the run has {', '.join(known)}")
        return self

    def model_requests(self) -> tuple[ModelRequest, ...]:
        """Its models as the planner takes them."""
        return tuple(ModelRequest.parse(m) if isinstance(m, str) else m.request() for m in self.models)


class Suite(_Strict):
    """A suite file."""

    title: str = Field(min_length=1, description="what it re-creates")
    about: str = Field("", description="what a reader should know: where numbers differ and why, what is missing")
    runs: tuple[SuiteRun, ...] = Field(min_length=1, description="matrices, in the order they run")


def suite_schema() -> dict[str, Any]:
    """JSON schema of suite files, for editors; ``benchmarks/suites/suite.schema.json`` is this."""
    schema = Suite.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


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
        nearest = max(error.errors(), key=lambda found: len(found["loc"]))  # a model may be a name or an entry
        place = ".".join(str(part) for part in nearest["loc"])
        raise UsageError(f"suite {path}: {place}: {nearest['msg']}") from error


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
            test_on=asked.test_on or run.test_on,
            include=tuple(squares.squares() for squares in run.include),
            exclude=tuple(squares.squares() for squares in run.exclude),
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


if __name__ == "__main__":
    print(json.dumps(suite_schema(), indent=2))
