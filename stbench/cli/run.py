"""``stbench run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.cli.cells import execute, exit_code, say_notes, summarise
from stbench.cli.options import (
    DEFAULT_STORE,
    DataDirOption,
    Format,
    FormatOption,
    StoreOption,
    parse_device,
    warn_of_broken_plugins,
)

if TYPE_CHECKING:
    from stbench.execution import RunOptions
    from stbench.matrix import Cell, Plan, Request

DEFAULT_PRECISION = "float32"


def run(
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Model, NAME[param=1,2] or all; repeatable.")
    ] = None,
    dataset: Annotated[list[str] | None, typer.Option("--dataset", "-d", help="Dataset or all; repeatable.")] = None,
    protocol: Annotated[
        list[str] | None, typer.Option("--protocol", "-p", help="Protocol or all; default: the dataset's own.")
    ] = None,
    test_on: Annotated[
        str, typer.Option("--test-on", metavar="DATASET", help="Train on all of each dataset and test on this one.")
    ] = "",
    folds: Annotated[str | None, typer.Option(help="Fold ids, or indexes into the complete list: 0,2-4.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds: 0,1,2 or 0-4.", show_default="0")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Parameter: [MODEL.]param=value; repeatable.")
    ] = None,
    preset: Annotated[list[str] | None, typer.Option(help="Named parameters: [MODEL=]NAME; repeatable.")] = None,
    suite: Annotated[
        Path | None, typer.Option(help="YAML file that names a whole matrix; -m, -d and -p then choose among its own.")
    ] = None,
    device: Annotated[str, typer.Option(envvar="STBENCH_DEVICE", help="auto, cpu, cuda, cuda:0 or mps.")] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            envvar="STBENCH_PRECISION", help="float32, bf16-mixed or 16-mixed.", show_default=DEFAULT_PRECISION
        ),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile networks for training: pays on GPUs for long fits.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, envvar="STBENCH_JOBS", help="Cells at a time.")] = 1,
    executor: Annotated[str, typer.Option(envvar="STBENCH_EXECUTOR", help="Where cells run.")] = "local",
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="For the executor: cpus=4, gpus=0.5, partition=gpu; repeatable."),
    ] = None,
    address: Annotated[str | None, typer.Option(help="The Ray cluster: auto, HOST:PORT; --with address=…")] = None,
    keep: Annotated[str, typer.Option(help="Keep more of each run: predictions,model.")] = "",
    store: StoreOption = DEFAULT_STORE,
    data_dir: DataDirOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run finished cells again.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start nothing more after a failure.")] = False,
    timeout: Annotated[str | None, typer.Option(help="Time limit of a cell: 90s, 30m, 4h.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, with each value's source.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Run models on datasets: every fold not done yet. The same command again resumes."""
    from stbench.datasets import DatasetContext
    from stbench.errors import DataError
    from stbench.execution.duration import parse_duration
    from stbench.execution.task import RunOptions
    from stbench.matrix import ModelRequest, Request, plan
    from stbench.matrix.plan import parameter_sets
    from stbench.matrix.request import parse_presets, parse_seeds, parse_settings
    from stbench.matrix.suite import read_suite, suite_requests
    from stbench.models.weights import missing_weights
    from stbench.registry import definitions_folder, discover
    from stbench.slides import cache
    from stbench.store import Store

    asked = Request(
        models=tuple(ModelRequest.parse(m) for m in model or ()),
        datasets=tuple(dataset or ()),
        protocols=tuple(protocol or ()),
        folds=folds,
        seeds=parse_seeds(seeds) if seeds else (),
        settings=parse_settings(settings or ()),
        presets=parse_presets(preset or ()),
        test_on=test_on,
        precision=_one_of("--precision", precision, ("float32", "bf16-mixed", "16-mixed")) if precision else "",
    )
    requests = suite_requests(read_suite(suite), asked) if suite else [_complete(asked)]
    options = RunOptions(
        store=store,
        cache_dir=cache.root(),
        data_dir=data_dir,
        definitions_dir=definitions_folder(),
        device=parse_device(device),
        compile=compile_,
        jobs=jobs,
        keep=_keep(keep),
        timeout_s=parse_duration(timeout) if timeout else None,
        fail_fast=fail_fast,
        fresh=fresh,
        executor_options=_executor_options(executor, [*(with_ or ()), *([f"address={address}"] if address else ())]),
    )
    warn_of_broken_plugins()
    run_tasks = discover().get("executor", executor).spec.load()
    try:
        planned = plan(requests, discover(), DatasetContext(options.cache_dir, data_dir))
    except DataError as error:
        missing = missing_weights([r.values for r in parameter_sets(requests, discover())], options.cache_dir)
        raise DataError("\n".join([str(error), *missing])) from error
    finished = set() if fresh else Store(store).finished()
    todo = [cell for cell in planned.cells if cell.key not in finished]
    if dry_run:
        _show_plan(planned, requests, suite, options, todo, output)
        return
    if output is Format.TABLE:
        say_notes(planned.notes, planned.skipped)
    if missing := missing_weights([cell.params for cell in todo], options.cache_dir):
        raise DataError("\n".join(missing))
    records, ended = execute(run_tasks, todo, options, output is Format.JSON, planned.resources)
    summarise(planned, todo, records, store, output)
    raise typer.Exit(exit_code(records, ended))


def _complete(asked: Request) -> Request:
    from dataclasses import replace

    for option, given in (("-m MODEL", asked.models), ("-d DATASET", asked.datasets)):
        if not given:
            raise typer.BadParameter(f"{option} is missing; or --suite FILE names models and data sets")
    return replace(asked, seeds=asked.seeds or (0,), precision=asked.precision or DEFAULT_PRECISION)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    from stbench.errors import UsageError

    if value not in allowed:
        raise UsageError(f"{option} {value!r} is none of {', '.join(allowed)}")
    return value


def _executor_options(executor: str, given: list[str]) -> dict[str, str]:
    from stbench.errors import UsageError
    from stbench.registry import discover

    known = discover().get("executor", executor).spec.options
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UsageError(f"--with {text!r} is not NAME=VALUE")
        if known is not None:
            takes = f"one of {', '.join(known)}" if known else "none"
            if name not in known:
                raise UsageError(f"the executor {executor} takes no option {name!r}: --with takes {takes} here")
        options[name] = value
    return options


def _keep(text: str) -> frozenset[str]:
    return frozenset(_one_of("--keep", k.strip(), ("predictions", "model")) for k in text.split(",") if k.strip())


def _show_plan(
    planned: Plan, requests: list[Request], suite: Path | None, options: RunOptions, todo: list[Cell], output: Format
) -> None:
    import json

    from stbench.report.console import print_json, print_table

    if output is Format.JSON:
        print_json(
            {
                "cells": [{"cell_key": c.key, "todo": c in todo, **c.model_dump(mode="json")} for c in planned.cells],
                "parameters": [
                    {"dataset": dataset, "model": model, "values": resolved.values, "sources": resolved.sources}
                    for dataset, model, resolved in planned.parameters
                ],
                "skipped": [vars(s) for s in planned.skipped],
                "notes": planned.notes,
            }
        )
        return
    keys = {cell.key for cell in todo}
    print_table(
        ["dataset", "protocol", "fold", "model", "seed", "cell", "state"],
        [
            (c.dataset, c.protocol, c.fold.id, c.model, c.seed, c.key, "to run" if c.key in keys else "done")
            for c in planned.cells
        ],
        title=f"{len(todo)} of {len(planned.cells)} cells to run",
    )
    print_table(
        ["dataset", "model", "parameter", "value", "source"],
        [
            (dataset, model, name, json.dumps(value), resolved.sources[name])
            for dataset, model, resolved in planned.parameters
            for name, value in resolved.values.items()
        ],
        title="parameters",
    )
    precisions = dict.fromkeys(request.precision for request in requests)
    shown = {"store": options.store, "data dir": options.data_dir, "device": options.device, "jobs": options.jobs,
             "precision": ", ".join(precisions), "cache": options.cache_dir}  # fmt: skip
    print_table(["option", "value", "source"], [(k, v, _source(k, suite)) for k, v in shown.items()], title="options")
    say_notes(planned.notes, planned.skipped)


def _source(option: str, suite: Path | None) -> str:
    """Where an option's value came from, as Click saw it."""
    import os

    names = {"store": "STBENCH_STORE", "data dir": "STBENCH_DATA", "device": "STBENCH_DEVICE", "jobs": "STBENCH_JOBS",
             "precision": "STBENCH_PRECISION", "cache": "STBENCH_CACHE"}  # fmt: skip
    flags = {"data dir": ("--data-dir",), "jobs": ("--jobs", "-j")}.get(option, (f"--{option}",))
    import sys

    if any(argument.split("=")[0] in flags or (argument.startswith("-j") and "-j" in flags) for argument in sys.argv):
        return "flag"
    if os.environ.get(names[option]):
        return names[option]
    return "suite" if suite and option == "precision" else "default"
