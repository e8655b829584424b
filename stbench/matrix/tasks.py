"""From names of datasets and protocols to the folds there are, without importing a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stbench.datasets import Dataset, DatasetContext
from stbench.datasets.transfer import Transfer
from stbench.errors import DataError, NotApplicable, PluginError
from stbench.matrix.fold_task import FoldTask
from stbench.matrix.request import ALL, choose_folds
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
class Tasks:
    """Folds that can be predicted, pair by pair of dataset and protocol, and what was left out."""

    folds: list[FoldTask] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def extend(self, other: Tasks) -> None:
        """Add those of another request."""
        self.folds += other.folds
        self.skipped += other.skipped
        self.notes += other.notes

    def require(self) -> None:
        """Raise `NotApplicable` with the reasons if there is no fold at all."""
        if not self.folds:
            reasons = list(dict.fromkeys(s.reason for s in self.skipped))
            raise NotApplicable("; ".join(reasons) or "the request is empty")


def plan_tasks(
    datasets: Sequence[str],
    protocols: Sequence[str],
    folds: str | None,
    registry: Registry,
    context: DatasetContext,
    test_on: str = "",
) -> Tasks:
    """Folds of each pair of dataset and protocol.

    Parameters
    ----------
    datasets, protocols
        Names; ``all`` stands for every one that is installed. No protocol: each dataset's default.
    folds
        Fold ids or indexes into the complete list; None for all.
    test_on
        Another data set: the only fold of each trains on all of its slides and is tested on this.

    Raises
    ------
    UsageError
        Unknown names or folds.
    PluginError
        A protocol whose training and test overlap without its saying so.
    """
    result = Tasks()
    for name in expand(datasets, registry.names("dataset")):
        data = registry.get("dataset", name)
        try:
            dataset = _opened(data, test_on, registry, context)
            slides = dataset.slides()
        except DataError as error:
            if ALL not in datasets:
                raise
            result.skipped.append(Skipped(name, "", "", str(error)))
            continue
        _note_missing_images(result, dataset, slides)
        for protocol_name in expand(protocols or (dataset.default_protocol,), registry.names("protocol")):
            rules = registry.get("protocol", protocol_name)
            try:
                if isinstance(dataset, Transfer):
                    result.folds.append(_transfer(dataset, (data, rules), folds, registry.get("dataset", test_on)))
                else:
                    result.folds += _tasks(dataset, slides, (data, rules), folds, result)
            except NotApplicable as error:
                result.skipped.append(Skipped(dataset.name, rules.spec.name, "", str(error)))
    return result


def _opened(data: Registered, test_on: str, registry: Registry, context: DatasetContext) -> Dataset:
    dataset: Dataset = data.spec.open(context)
    return Transfer(dataset, registry.get("dataset", test_on).spec.open(context)) if test_on else dataset


def expand(names: Sequence[str], available: Sequence[str]) -> list[str]:
    """Names without repetition, ``all`` replaced by what is available."""
    return list(dict.fromkeys(n for name in names for n in (available if name == ALL else [name])))


def _note_missing_images(result: Tasks, dataset: Dataset, slides: Sequence[SlideInfo]) -> None:
    missing = [s.id for s in slides if not s.has_image]
    if missing:
        result.notes.append(
            f"{dataset.name}: {len(missing)} of {len(slides)} slides have no image and cannot be used "
            f"({', '.join(missing)}); `stbench info dataset {dataset.name}` says why"
        )


def _tasks(
    dataset: Dataset,
    slides: Sequence[SlideInfo],
    origins: tuple[Registered, Registered],
    folds: str | None,
    result: Tasks,
) -> Iterator[FoldTask]:
    protocol: Protocol = origins[1].spec.load()
    complete = protocol.complete_folds(slides)
    runnable = {fold.id: fold for fold in protocol.folds(slides)}
    protocol.require(dataset.name, dataset.locate(), lambda: (file.name for file in dataset.files()))
    infos = {s.id: s for s in slides}
    for fold_id in choose_folds(folds, [fold.id for fold in complete]):
        if fold_id not in runnable:
            reason = "no slide of its test part has an image"
            result.skipped.append(Skipped(dataset.name, protocol.name, fold_id, reason))
            continue
        fold = runnable[fold_id]
        shared = overlaps(fold, infos)
        if undeclared := shared - protocol.declares:
            raise PluginError(
                f"protocol {protocol.name}, fold {fold.id}: training and test share {', '.join(sorted(undeclared))} "
                "without declaring it; nothing was run"
            )
        yield _task(dataset, origins, fold, infos, shared, complete_parts=sum(len(f.test) for f in complete))


def _transfer(
    dataset: Transfer, origins: tuple[Registered, Registered], folds: str | None, test: Registered
) -> FoldTask:
    """The one fold of a model that is trained on a data set and tested on another."""
    protocol: Protocol = origins[1].spec.load()
    train, held_out = dataset.train.slides(), dataset.test.slides()
    fold = protocol.transfer_fold(train, held_out)
    choose_folds(folds, [fold.id])
    infos = {s.id: s for s in (*train, *held_out)}
    task = _task(dataset, origins, fold, infos, set(), complete_parts=len(held_out))
    versions = task.distributions | {test.distribution: test.version}
    return task.model_copy(update={"test_distribution": test.distribution, "distributions": versions})


def _task(
    dataset: Dataset,
    origins: tuple[Registered, Registered],
    fold: Fold,
    infos: dict[str, SlideInfo],
    shared: set[str],
    complete_parts: int,
) -> FoldTask:
    data, rules = origins
    protocol: Protocol = rules.spec.load()
    return FoldTask(
        dataset=dataset.name,
        dataset_revision=dataset.revision,
        dataset_distribution=data.distribution,
        protocol=protocol.name,
        protocol_version=protocol.version,
        protocol_distribution=rules.distribution,
        fold=fold,
        distributions={r.distribution: r.version for r in origins},
        patients={p.slide: infos[p.slide].patient for p in (*fold.train, *fold.validation, *fold.test)},
        overlaps=tuple(sorted(shared)),
        declared=tuple(sorted(protocol.declares)),
        complete_parts=complete_parts,
    )


def overlaps(fold: Fold, slides: dict[str, SlideInfo]) -> set[str]:
    """What training or validation shares with test: ``same_patient``, ``same_image``, ``same_slide``.

    Where validation parts are test parts, that is ``validation_is_test``, and they are not compared further.
    """
    tested = [part for part in fold.validation if part in fold.test]
    seen = [part for part in (*fold.train, *fold.validation) if part not in tested]

    def shared(value: str) -> bool:
        def of(parts: Sequence[Part]) -> set[str]:
            return {getattr(slides[p.slide], value) or p.slide for p in parts}

        return bool(of(seen) & of(fold.test))

    kinds = {"same_patient": "patient", "same_image": "image_id", "same_slide": "id"}
    return {kind for kind, value in kinds.items() if shared(value)} | ({"validation_is_test"} if tested else set())
