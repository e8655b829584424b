"""Suite files: a whole matrix by name; the command beside it narrows it or replaces values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stbench.errors import UsageError
from stbench.matrix import ModelRequest, Request
from stbench.matrix.params import resolve
from stbench.matrix.request import Squares
from stbench.matrix.resources import Resources
from stbench.matrix.suite import Suite, read_suite, suite_requests, suite_schema
from stbench.registry import discover

FOLDER = Path(__file__).parents[2] / "benchmarks/suites"
SUITES = sorted(FOLDER.glob("*.yaml"))
SCHEMA = FOLDER / "suite.schema.json"

TEXT = """
title: Two tables
runs:
  - datasets: [her2st, visium]
    protocols: [stbench-v1]
    models: [mean, {name: "ridge[alpha=1,2]", preset: fast, set: {encoder: resnet18}}]
    seeds: [0, 1]
  - datasets: [visium]
    models: [mean]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    path = tmp_path / "suite.yaml"
    path.write_text(TEXT)
    return read_suite(path)


def asked(models: tuple[str, ...] = (), datasets: tuple[str, ...] = (), protocols: tuple[str, ...] = ()) -> Request:
    return Request(tuple(ModelRequest.parse(m) for m in models), datasets, protocols, seeds=(), precision="")


def test_a_run_is_a_request(suite: Suite) -> None:
    first, second = suite_requests(suite, asked())

    ridge = ModelRequest("ridge", {"alpha": (1, 2)}, "fast", {"encoder": "resnet18"})
    assert first == Request((ModelRequest("mean"), ridge), ("her2st", "visium"), ("stbench-v1",), seeds=(0, 1))
    assert second == Request((ModelRequest("mean"),), ("visium",))


def test_the_command_replaces_values_and_says_more_of_models(suite: Suite) -> None:
    said = Request((), (), folds="0", seeds=(7,), settings={"ridge": {"alpha": 3}}, presets={"": "slow"}, precision="")

    for request in suite_requests(suite, said):
        assert (request.folds, request.seeds, request.precision) == ("0", (7,), "float32")
        assert (request.settings, request.presets) == (said.settings, said.presets)


def test_the_command_chooses_models_data_sets_and_protocols(suite: Suite) -> None:
    assert len(suite_requests(suite, asked(models=("mean",)))) == 2
    assert [r.datasets for r in suite_requests(suite, asked(datasets=("her2st",)))] == [("her2st",)]
    assert [r.protocols for r in suite_requests(suite, asked(protocols=("stbench-v1",)))] == [("stbench-v1",)]
    (chosen,) = suite_requests(suite, asked(models=("ridge",), datasets=("visium",)))
    assert ([m.name for m in chosen.models], chosen.datasets) == (["ridge"], ("visium",))
    assert suite_requests(suite, asked(("all",), ("all",), ("all",))) == suite_requests(suite, asked())


@pytest.mark.parametrize(
    ("narrowed", "message"),
    [
        (asked(models=("sepal",)), "-m sepal: .* the suite's, which has mean, ridge"),
        (asked(datasets=("dlpfc",)), "-d dlpfc: .* her2st, visium"),
        (asked(protocols=("sepal-2023",)), "-p sepal-2023: .* stbench-v1"),
        (asked(models=("ridge[alpha=1]",)), "a suite says which parameters it sweeps"),
    ],
)
def test_names_that_the_suite_does_not_have(suite: Suite, narrowed: Request, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        suite_requests(suite, narrowed)


def one_run(tmp_path: Path, more: str) -> Request:
    path = tmp_path / "one.yaml"
    path.write_text(f"title: t\nruns: [{{datasets: [a, b], models: [x, 'y[p=1,2]'], {more}}}]")
    (request,) = suite_requests(read_suite(path), asked())
    return request


def test_squares_of_the_matrix_are_left_out_or_the_only_ones(tmp_path: Path) -> None:
    here, there = Squares("x", "a", "p", "F1", 0), Squares("y", "b", "p", "F2", 1)

    without = one_run(tmp_path, "exclude: [{model: x, dataset: a}, {fold: F3}]")
    assert (without.wants(here), without.wants(there)) == (False, True)
    only = one_run(tmp_path, "include: [{model: x}, {seed: 7}]")
    assert (only.wants(here), only.wants(there)) == (True, False)
    both = one_run(tmp_path, "include: [{dataset: a}], exclude: [{fold: F1}]")
    assert not both.wants(here)
    everything = one_run(tmp_path, "seeds: [0]")
    assert everything.wants(here)
    assert everything.wants(there)


def test_models_say_what_they_need(tmp_path: Path) -> None:
    path = tmp_path / "needs.yaml"
    path.write_text(
        "title: t\nruns: [{datasets: [d], models: [{name: x, resources: {threads: 2, gpus: 0.5, timeout_s: 60}}, y]}]"
    )
    (request,) = suite_requests(read_suite(path), asked())

    assert [m.resources for m in request.models] == [Resources(threads=2, gpus=0.5, timeout_s=60), None]


def test_a_choice_that_leaves_nothing(tmp_path: Path) -> None:
    apart = tmp_path / "apart.yaml"
    apart.write_text("title: t\nruns: [{datasets: [a], models: [x]}, {datasets: [b], models: [y]}]")

    with pytest.raises(UsageError, match="no run of the suite"):
        suite_requests(read_suite(apart), asked(models=("x",), datasets=("b",)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: [", "cannot read the suite"),
        ("just words", "is not a suite"),
        ("title: t", "runs: Field required"),
        ("title: t\nruns: []", "runs: .*at least 1"),
        ("title: t\nruns: [{datasets: [d], models: [m], seed: 1}]", "runs.0.seed: Extra inputs"),
        ("title: t\nruns: [{datasets: [d], models: [m], precision: half}]", "runs.0.precision"),
        ("title: t\nruns: [{datasets: [d], models: [m], exclude: [{model: n}]}]", "names model n, but the run has m"),
        ("title: t\nruns: [{datasets: [d], models: [{name: m, resources: {threads: 0}}]}]", "resources.threads"),
    ],
)
def test_files_that_are_not_suites(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)

    with pytest.raises(UsageError, match=message):
        read_suite(path)
    with pytest.raises(UsageError, match="cannot read the suite"):
        read_suite(tmp_path / "missing.yaml")


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_suites_that_come_with_stbench_name_what_there_is(path: Path) -> None:
    registry = discover()

    for request in suite_requests(read_suite(path), asked()):
        for protocol in request.protocols:
            registry.get("protocol", protocol)
        for dataset in request.datasets:
            registry.get("dataset", dataset)
            for model in request.models:
                spec = registry.get("model", model.name).spec
                assert list(resolve(spec, model, dataset, None, {}))
    assert SUITES


def test_the_schema_that_editors_read_is_the_one_that_is_checked() -> None:
    assert json.loads(SCHEMA.read_text()) == suite_schema(), (
        "write it anew: python -m stbench.matrix.suite > benchmarks/suites/suite.schema.json"
    )


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_suites_that_come_with_stbench_name_their_schema(path: Path) -> None:
    first = path.read_text().splitlines()[0]

    assert first == f"# yaml-language-server: $schema={SCHEMA.name}"
