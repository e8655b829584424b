"""From a fold to prepared slides: load, filter, cut, fit the protocol on the training parts, transform."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from stbench.datasets import Dataset, DatasetContext
from stbench.datasets.transfer import Transfer, tested_on, trained_on
from stbench.errors import DataError
from stbench.matrix import FoldTask
from stbench.protocols import FittedProtocol, Fold, Part, Protocol
from stbench.registry import Registry
from stbench.slides import Slide, cache
from stbench.versions import NUMERICS

PREPARE_VERSION = "2"

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Parts:
    """Slides of a fold, filtered and cut, before the target is made."""

    train: list[Slide]
    validation: list[Slide]
    test: list[Slide]


def open_dataset(task: FoldTask, registry: Registry, context: DatasetContext) -> Dataset:
    """The dataset of a fold.

    Raises
    ------
    DataError
        Data that changed since planning.
    """
    dataset = data_of(task, registry, context)
    if dataset.revision != task.dataset_revision:
        raise DataError(
            f"{task.dataset} is at revision {dataset.revision}, the cell was planned for {task.dataset_revision}; "
            "run the command again"
        )
    return dataset


def data_of(task: FoldTask, registry: Registry, context: DatasetContext) -> Dataset:
    """The dataset of a fold, in whatever revision is here."""
    dataset = _registered(registry, task.dataset_distribution, trained_on(task.dataset), context)
    if not task.test_distribution:
        return dataset
    return Transfer(dataset, _registered(registry, task.test_distribution, tested_on(task.dataset), context))


def _registered(registry: Registry, distribution: str, name: str, context: DatasetContext) -> Dataset:
    dataset: Dataset = registry.get("dataset", f"{distribution}:{name}").spec.open(context)
    return dataset


def load_protocol(task: FoldTask, registry: Registry) -> Protocol:
    """The protocol of a fold."""
    protocol: Protocol = registry.get("protocol", f"{task.protocol_distribution}:{task.protocol}").spec.load()
    return protocol


def load_parts(fold: Fold, protocol: Protocol, dataset: Dataset, roles: Sequence[Role] = ROLES) -> Parts:
    """Load each slide of a fold once, filter its spots and cut its parts.

    Parameters
    ----------
    roles
        The parts wanted; the others are left empty.

    Raises
    ------
    DataError
        A part without spots, or parts that share spots.
    """
    wanted: dict[Role, Sequence[Part]] = {role: getattr(fold, role) if role in roles else () for role in ROLES}
    names = dict.fromkeys(part.slide for parts in wanted.values() for part in parts)
    slides = {name: protocol.filter(dataset.load(name)) for name in names}
    result = Parts(**{role: [_cut(slides[part.slide], part) for part in parts] for role, parts in wanted.items()})
    by_design = {part.slide for part in fold.validation if part in fold.test}
    _refuse_shared_spots(result, by_design if "validation_is_test" in protocol.declares else set())
    return result


def fit_protocol(task: FoldTask, protocol: Protocol, dataset: Dataset, train: Sequence[Slide] = ()) -> FittedProtocol:
    """Fit the target steps, or take what was fitted before on the same fold.

    Parameters
    ----------
    train
        The training parts, filtered and cut; if there are none, they are loaded should nothing have been fitted before.
    """
    what = {
        "version": PREPARE_VERSION,
        "numerics": NUMERICS,
        "dataset": task.dataset_revision,
        "protocol": [task.protocol_distribution, task.protocol, task.protocol_version],
        "steps": repr((protocol.spot_steps, protocol.target_steps)),
        "train": task.fold.to_json()["train"],
    }
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    path = dataset.context.cache_dir / "fitted" / f"{key}.json"
    try:
        found = FittedProtocol(protocol, tuple(json.loads(path.read_text())))
        cache.mark_used(path)
        return found
    except (OSError, ValueError, TypeError):
        train = train or load_parts(task.fold, protocol, dataset, ("train",)).train
        fitted = protocol.fit(train, lambda: [protocol.filter(dataset.load(s.id)) for s in dataset.slides()])
    partial = cache.temporary(path)
    partial.write_text(json.dumps(fitted.states))
    os.replace(partial, path)
    return fitted


def _cut(slide: Slide, part: Part) -> Slide:
    kept = slide if part.block is None else slide.subset(part.block.mask(slide))
    if kept.n_spots == 0:
        raise DataError(
            f"slide {part.slide} of {slide.info.dataset} has no spot left for this part after filtering"
            f"{f' and cutting {part.block}' if part.block else ''}; the slide is too small or too shallow"
        )
    return kept


def _refuse_shared_spots(parts: Parts, validated_and_tested: set[str]) -> None:
    """Compare the spots of parts that are of one slide; names alone, as array code: they may be millions."""
    by_slide: dict[str, list[tuple[Role, Slide]]] = {}
    for role in ROLES:
        for slide in getattr(parts, role):
            by_slide.setdefault(slide.info.id, []).append((role, slide))
    for name, same in by_slide.items():
        for (first, a), (second, b) in combinations(same, 2):
            by_design = {first, second} == {"validation", "test"} and name in validated_and_tested
            if first == second or by_design:
                continue
            if len(shared := a.adata.obs_names.intersection(b.adata.obs_names)):
                raise DataError(f"spot {shared[0]} of slide {name} is in both {first} and {second}")
