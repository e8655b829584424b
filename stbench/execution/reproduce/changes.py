"""What is not as it was when a run was made: the code it depends on, and the environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stbench.errors import StbenchError
from stbench.execution.reproduce.result import Change
from stbench.matrix.source import source_digest
from stbench.registry import Registry
from stbench.store import Layout, RunRecord
from stbench.versions import NUMERICS


@dataclass(frozen=True)
class StoredRun:
    """A run, its folder and its store."""

    layout: Layout
    folder: Path
    record: RunRecord


def code_changes(record: RunRecord, registry: Registry) -> tuple[Change, ...]:
    """Versions and sources of the model, dataset and protocol that are not those of the record."""
    return tuple(change for change in _code(record, registry) if change.then != change.now)


def _code(record: RunRecord, registry: Registry) -> Iterator[Change]:
    cell = record.cell
    yield Change("stbench numerics", record.numerics, NUMERICS)
    brought = {
        "model": (cell.model_distribution, cell.model),
        "dataset": (cell.dataset_distribution, cell.dataset),
        "protocol": (cell.protocol_distribution, cell.protocol),
    }
    found = {kind: registry.get(kind, f"{origin}:{name}") for kind, (origin, name) in brought.items()}
    versions = {registered.distribution: registered.version for registered in found.values()}
    for distribution, version in versions.items():
        yield Change(distribution, cell.distributions.get(distribution), version)
    spec = found["model"].spec
    yield Change(f"{cell.model}: results version", cell.results_version, spec.results_version)
    yield Change(f"{cell.model}: source", cell.source_digest, source_digest(cell.model_distribution, spec.factory))
    try:
        protocol_version = found["protocol"].spec.load().version
    except StbenchError as error:
        protocol_version = str(error)
    yield Change(f"{cell.protocol}: version", cell.protocol_version, protocol_version)


def environment_changes(then: RunRecord, now: RunRecord) -> tuple[Change, ...] | None:
    """Packages, Python, platform, hardware, threads and device that differ; None if a record does not say.

    What an older record did not note is not compared.
    """
    if not then.environment or not now.environment:
        return None
    old, new = (dict(_flat(r.environment)) | {"device": r.device} for r in (then, now))
    noted = {name.partition(" ")[0] for name in old}
    names = [name for name in dict.fromkeys([*old, *new]) if name.partition(" ")[0] in noted]
    return tuple(Change(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))


def _flat(environment: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in environment.items():
        if isinstance(value, Mapping):
            yield from ((f"{name.removesuffix('s')} {inner}", v) for inner, v in value.items())
        else:
            yield name, value
