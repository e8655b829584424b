"""From a cell to prepared slides: load, filter, cut, fit the protocol on the training parts, transform."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

from stbench.datasets import Dataset, DatasetContext
from stbench.errors import DataError
from stbench.matrix import Cell
from stbench.protocols import FittedProtocol, Part, Protocol
from stbench.registry import Registry
from stbench.slides import Slide, cache

PREPARE_VERSION = "2"


@dataclass(frozen=True)
class Parts:
    """Slides of a fold, filtered and cut, before or after the target is made."""

    train: list[Slide]
    validation: list[Slide]
    test: list[Slide]


def load_parts(cell: Cell, protocol: Protocol, registry: Registry, context: DatasetContext) -> Parts:
    """Load each slide of a fold once, filter its spots and cut its parts.

    Raises
    ------
    DataError
        A part without spots, parts that share spots, or data that changed since planning.
    """
    dataset = open_dataset(cell, registry, context)
    if dataset.revision != cell.dataset_revision:
        raise DataError(
            f"{cell.dataset} is at revision {dataset.revision}, the cell was planned for {cell.dataset_revision}; "
            "run the command again"
        )
    parts = (*cell.fold.train, *cell.fold.validation, *cell.fold.test)
    slides = {name: protocol.filter(dataset.load(name)) for name in dict.fromkeys(p.slide for p in parts)}

    def cut(chosen: Sequence[Part]) -> list[Slide]:
        return [_cut(slides[part.slide], part) for part in chosen]

    result = Parts(cut(cell.fold.train), cut(cell.fold.validation), cut(cell.fold.test))
    _refuse_shared_spots(result)
    return result


def open_dataset(cell: Cell, registry: Registry, context: DatasetContext) -> Dataset:
    """Make the cell's dataset."""
    dataset: Dataset = registry.get("dataset", f"{cell.dataset_distribution}:{cell.dataset}").spec.open(context)
    return dataset


def fit_protocol(cell: Cell, protocol: Protocol, train: Sequence[Slide], dataset: Dataset) -> FittedProtocol:
    """Fit the target steps, or take what another model's cell of the same fold has fitted."""
    what = {
        "version": PREPARE_VERSION,
        "numerics": cell.specification()["numerics"],
        "dataset": cell.dataset_revision,
        "protocol": [cell.protocol_distribution, cell.protocol, cell.protocol_version],
        "steps": repr((protocol.spot_steps, protocol.target_steps)),
        "train": cell.fold.to_json()["train"],
    }
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    path = dataset.context.cache_dir / "fitted" / f"{key}.json"
    try:
        return FittedProtocol(protocol, tuple(json.loads(path.read_text())))
    except (OSError, ValueError):
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


def _refuse_shared_spots(parts: Parts) -> None:
    seen: dict[tuple[str, str], str] = {}
    for role, slides in (("train", parts.train), ("validation", parts.validation), ("test", parts.test)):
        for slide in slides:
            for spot in slide.adata.obs_names:
                other = seen.setdefault((slide.info.id, spot), role)
                if other != role:
                    raise DataError(f"spot {spot} of slide {slide.info.id} is in both {other} and {role}")
