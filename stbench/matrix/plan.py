"""From a request to cells: resolves plugins, data, folds and parameters without importing a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stbench.datasets import Dataset, DatasetContext
from stbench.errors import DataError, NotApplicable, PluginError, UsageError
from stbench.matrix.cell import Cell
from stbench.matrix.params import Resolved, resolve
from stbench.matrix.request import ALL, ModelRequest, Request, choose_folds
from stbench.matrix.source import source_digest
from stbench.protocols import Fold, Part, Protocol
from stbench.registry import Registered, Registry
from stbench.slides import SlideInfo


@dataclass(frozen=True)
class Skipped:
    """Something the request covers that cannot run, and why."""

    dataset: str
    protocol: str
    fold: str
    reason: str


@dataclass
class Plan:
    """Cells to run, what was left out, and (dataset, model, parameters) of each variant."""

    cells: list[Cell] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    parameters: list[tuple[str, str, Resolved]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """A dataset under a protocol, and the plugins they came from."""

    dataset: Dataset
    protocol: Protocol
    origins: tuple[Registered, Registered]
    folds: list[Fold]
    slides: dict[str, SlideInfo]
    complete_parts: int


def plan(request: Request, registry: Registry, context: DatasetContext) -> Plan:
    """Plan the fold matrix of a request.

    Raises
    ------
    UsageError
        Unknown names or parameters.
    NotApplicable
        If no pair of dataset and protocol applies; the message gives the reasons.
    """
    models = _models(request, registry)
    _refuse_stray_settings(request, models)
    result = Plan()
    for name in _expand(request.datasets, registry.names("dataset")):
        data = registry.get("dataset", name)
        try:
            dataset: Dataset = data.spec.open(context)
            slides = dataset.slides()
        except DataError as error:
            if ALL not in request.datasets:
                raise
            result.skipped.append(Skipped(name, "", "", str(error)))
            continue
        _note_missing_images(result, dataset, slides)
        for protocol_name in _expand(request.protocols or (dataset.default_protocol,), registry.names("protocol")):
            rules = registry.get("protocol", protocol_name)
            try:
                task = _task(dataset, rules.spec.load(), slides, (data, rules), request, result)
            except NotApplicable as error:
                result.skipped.append(Skipped(dataset.name, rules.spec.name, "", str(error)))
                continue
            for model, registered in models:
                result.cells += _cells(task, model, registered, request, result)
    if not result.cells:
        reasons = list(dict.fromkeys(s.reason for s in result.skipped))
        raise NotApplicable("; ".join(reasons) or "the request is empty")
    result.cells = list({cell.key: cell for cell in result.cells}.values())
    return result


def _expand(names: Sequence[str], available: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(n for name in names for n in (available if name == ALL else [name])))


def _models(request: Request, registry: Registry) -> list[tuple[ModelRequest, Registered]]:
    expanded = [
        ModelRequest(name, model.sweep)
        for model in request.models
        for name in (registry.names("model") if model.name == ALL else [model.name])
    ]
    return [(model, registry.get("model", model.name)) for model in expanded]


def _refuse_stray_settings(request: Request, models: list[tuple[ModelRequest, Registered]]) -> None:
    names = {registered.spec.name for _, registered in models}
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


def _note_missing_images(result: Plan, dataset: Dataset, slides: Sequence[SlideInfo]) -> None:
    missing = [s.id for s in slides if not s.has_image]
    if missing:
        result.notes.append(
            f"{dataset.name}: {len(missing)} of {len(slides)} slides have no image and cannot be used "
            f"({', '.join(missing)}); `stbench info dataset {dataset.name}` says why"
        )


def _task(
    dataset: Dataset,
    protocol: Protocol,
    slides: Sequence[SlideInfo],
    origins: tuple[Registered, Registered],
    request: Request,
    result: Plan,
) -> Task:
    complete = protocol.complete_folds(slides)
    runnable = {fold.id: fold for fold in protocol.folds(slides)}
    chosen = choose_folds(request.folds, [fold.id for fold in complete])
    infos = {s.id: s for s in slides}
    for fold_id in chosen:
        if fold_id not in runnable:
            result.skipped.append(
                Skipped(dataset.name, protocol.name, fold_id, "no slide of its test part has an image")
            )
    folds = [runnable[fold_id] for fold_id in chosen if fold_id in runnable]
    for fold in folds:
        undeclared = overlaps(fold, infos) - protocol.declares
        if undeclared:
            raise PluginError(
                f"protocol {protocol.name}, fold {fold.id}: training and test share {', '.join(sorted(undeclared))} "
                "without declaring it; nothing was run"
            )
    return Task(dataset, protocol, origins, folds, infos, sum(len(fold.test) for fold in complete))


def overlaps(fold: Fold, slides: dict[str, SlideInfo]) -> set[str]:
    """What training or validation shares with test: ``same_patient``, ``same_image``, ``same_slide``."""

    def shared(value: str) -> bool:
        def of(parts: Sequence[Part]) -> set[str]:
            return {getattr(slides[p.slide], value) or p.slide for p in parts}

        return bool(of((*fold.train, *fold.validation)) & of(fold.test))

    kinds = {"same_patient": "patient", "same_image": "image_id", "same_slide": "id"}
    return {kind for kind, value in kinds.items() if shared(value)}


def _cells(task: Task, model: ModelRequest, registered: Registered, request: Request, result: Plan) -> Iterator[Cell]:
    spec = registered.spec
    settings = request.settings.get(spec.name, {}) | request.settings.get("", {})
    everyone = request.presets.get("")
    preset = request.presets.get(spec.name, everyone if everyone in spec.presets else None)
    seeds: Sequence[int | None] = [None] if spec.deterministic else request.seeds
    data, rules = task.origins
    for resolved in resolve(spec, model, task.dataset.name, preset, settings):
        variant = (task.dataset.name, spec.name, resolved)
        if variant not in result.parameters:
            result.parameters.append(variant)
        for seed in seeds:
            for fold in task.folds:
                parts = (*fold.train, *fold.validation, *fold.test)
                yield Cell(
                    dataset=task.dataset.name,
                    dataset_revision=task.dataset.revision,
                    dataset_distribution=data.distribution,
                    protocol=task.protocol.name,
                    protocol_version=task.protocol.version,
                    protocol_distribution=rules.distribution,
                    fold=fold,
                    model=spec.name,
                    model_distribution=registered.distribution,
                    results_version=spec.results_version,
                    source_digest=source_digest(registered.distribution, spec.factory),
                    params=resolved.values,
                    params_by_content=resolved.by_content,
                    precision=request.precision,
                    seed=seed,
                    distributions={r.distribution: r.version for r in (data, rules, registered)},
                    preset=resolved.preset,
                    control=spec.control,
                    patients={p.slide: task.slides[p.slide].patient for p in parts},
                    overlaps=tuple(sorted(overlaps(fold, task.slides))),
                    declared=tuple(sorted(task.protocol.declares)),
                    complete_parts=task.complete_parts,
                )
