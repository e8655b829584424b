"""From requests to cells: resolves plugins, data, folds and parameters without importing a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from stbench.datasets import DatasetContext
from stbench.datasets.transfer import trained_on
from stbench.errors import UsageError
from stbench.matrix.cell import Cell
from stbench.matrix.fold_task import FoldTask
from stbench.matrix.params import Resolved, resolve
from stbench.matrix.request import ModelRequest, Request, Squares
from stbench.matrix.resources import Resources
from stbench.matrix.source import source_digest
from stbench.matrix.tasks import Skipped, Tasks, expand, plan_tasks
from stbench.registry import ModelSpec, Registered, Registry


@dataclass
class Plan:
    """Cells to run, what was left out, (dataset, model, parameters) of each variant, what cells need by their key."""

    cells: list[Cell] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    parameters: list[tuple[str, str, Resolved]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resources: dict[str, Resources] = field(default_factory=dict)


def plan(requests: Sequence[Request], registry: Registry, context: DatasetContext) -> Plan:
    """Plan the fold matrix of one request, or of all that a suite makes; a cell that several ask for is planned once.

    Raises
    ------
    UsageError
        Unknown names or parameters.
    NotApplicable
        If no pair of dataset and protocol applies; the message gives the reasons.
    """
    _refuse_stray_settings(requests, registry)
    result, every = Plan(), Tasks()
    for request in requests:
        tasks = plan_tasks(request.datasets, request.protocols, request.folds, registry, context, request.test_on)
        every.extend(tasks)
        models = _models(request, registry)
        for _, pair in groupby(tasks.folds, lambda task: (task.dataset, task.protocol)):
            folds = list(pair)
            for model, registered in models:
                result.cells += _cells(folds, model, registered, request, result)
    every.require()
    result.cells = list({cell.key: cell for cell in result.cells}.values())
    result.skipped, result.notes = list(dict.fromkeys(every.skipped)), list(dict.fromkeys(every.notes))
    return result


def parameter_sets(requests: Sequence[Request], registry: Registry) -> Iterator[Resolved]:
    """Parameters of all models of the requests on their data sets, as far as they are known without looking at data."""
    for request in requests:
        for dataset in expand(request.datasets, registry.names("dataset")):
            for model, registered in _models(request, registry):
                yield from _resolved(registered.spec, model, dataset, request)


def _models(request: Request, registry: Registry) -> list[tuple[ModelRequest, Registered]]:
    expanded = [
        replace(model, name=name) for model in request.models for name in expand([model.name], registry.names("model"))
    ]
    return [(model, registry.get("model", model.name)) for model in expanded]


def _refuse_stray_settings(requests: Sequence[Request], registry: Registry) -> None:
    models = [found for request in requests for found in _models(request, registry)]
    names = {registered.spec.name for _, registered in models}
    request = requests[0]  # those of a suite share what the command says
    for option, mapping in (("--set", request.settings), ("--preset", request.presets)):
        for model in mapping:
            if model and model not in names:
                raise UsageError(
                    f"{option} names model {model!r}, which does not run here; -m has {', '.join(sorted(names))}"
                )
    if "" in request.settings and len(names) > 1:
        stray = next(iter(request.settings[""]))
        raise UsageError(f"--set {stray}=… could mean any of {', '.join(sorted(names))}; write MODEL.{stray}=…")
    everyone = request.presets.get("")
    if everyone and not any(everyone in registered.spec.presets for _, registered in models):
        raise UsageError(f"no model of {', '.join(sorted(names))} has a preset {everyone!r}")


def _cells(
    folds: Sequence[FoldTask], model: ModelRequest, registered: Registered, request: Request, result: Plan
) -> Iterator[Cell]:
    spec = registered.spec
    seeds: Sequence[int | None] = [None] if spec.deterministic else request.seeds
    dataset = folds[0].dataset
    for resolved in _resolved(spec, model, trained_on(dataset), request):
        variant = (dataset, spec.name, resolved)
        if variant not in result.parameters:
            result.parameters.append(variant)
        for seed in seeds:
            for task in folds:
                if not request.wants(Squares(spec.name, dataset, task.protocol, task.fold.id, seed)):
                    continue
                cell = Cell.of(
                    task,
                    model=spec.name,
                    model_distribution=registered.distribution,
                    results_version=spec.results_version,
                    source_digest=source_digest(registered.distribution, spec.factory),
                    params=resolved.values,
                    params_by_content=resolved.by_content,
                    predict_stage=tuple(sorted(resolved.predict_stage)),
                    precision=request.precision,
                    seed=seed,
                    distributions={registered.distribution: registered.version},
                    preset=resolved.preset,
                    control=spec.control,
                )
                if model.resources:
                    result.resources[cell.key] = model.resources
                yield cell


def _resolved(spec: ModelSpec, model: ModelRequest, dataset: str, request: Request) -> Iterator[Resolved]:
    settings = request.settings.get(spec.name, {}) | request.settings.get("", {})
    everyone = request.presets.get("")
    preset = request.presets.get(spec.name, everyone if everyone in spec.presets else None)
    return resolve(spec, model, dataset, preset, settings)
