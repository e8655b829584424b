"""From a file of predictions to the cells it fills."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from stbench.datasets import DatasetContext
from stbench.errors import DataError, UsageError
from stbench.execution.outside.names import check_names, expected_names
from stbench.execution.outside.table import PredictionTable, few
from stbench.execution.outside.task_file import TaskFile
from stbench.matrix import Cell, Plan, Tasks, plan_tasks
from stbench.matrix.cell import OUTSIDE
from stbench.registry import NAME_PATTERN, Registry
from stbench.store.card import ModelCard


def plan_outside(table: PredictionTable, model: str, version: str, tasks: Tasks, registry: Registry) -> Plan:
    """One cell for each fold that has rows.

    Parameters
    ----------
    model
        The name the predictions are scored under.
    version
        From `content_version`: other predictions are another version of the model.

    Raises
    ------
    UsageError
        A name that cannot be a model's, or that is an installed model's.
    DataError
        Folds that are not the task's, or cannot be scored here.
    """
    if not NAME_PATTERN.fullmatch(model):
        raise UsageError(f"--as {model!r} is no name; use lower-case letters, digits and hyphens")
    if model in registry.names("model"):
        raise UsageError(f"--as {model}: a model of this name is installed; choose another, such as {model}-outside")
    runnable = {task.fold.id: task for task in tasks.folds}
    skipped = {item.fold: item.reason for item in tasks.skipped}
    for fold in table.folds():
        if fold in skipped:
            raise DataError(f"{table.path}: fold {fold} cannot be scored here: {skipped[fold]}; drop its rows")
    if strange := [fold for fold in table.folds() if fold not in runnable]:
        task = tasks.folds[0]
        raise DataError(
            f"{table.path}: {len(strange)} folds are none of {task.dataset} under {task.protocol} ({few(strange)}); "
            f"there are {few(list(runnable), 10)}"
        )
    cells = [
        Cell.of(
            task,
            model=model,
            model_distribution=OUTSIDE,
            results_version=version,
            params={},
            params_by_content={},
            seed=None,
        )
        for fold, task in runnable.items()
        if fold in table.folds()
    ]
    return Plan(cells=cells, skipped=tasks.skipped, notes=tasks.notes)


def tasks_of(
    table: PredictionTable,
    dataset: str | None,
    protocol: str | None,
    exported: TaskFile | None,
    registry: Registry,
    context: DatasetContext,
) -> Tasks:
    """Folds of the dataset and protocol that the options, the exported task and the file's own columns agree on.

    Raises
    ------
    UsageError
        If they disagree, or none of them names a dataset.
    DataError
        If the task was exported from other data.
    """
    asked = {"dataset": dataset, "protocol": protocol}
    task = {"dataset": exported and exported.dataset, "protocol": exported and exported.protocol}
    chosen = {}
    for what, option in (("dataset", "-d"), ("protocol", "-p")):
        said = {option: asked[what], "--task": task[what], f"column {what}": table.stated.get(what)}
        values = {source: value for source, value in said.items() if value}
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{source} says {value}" for source, value in values.items())
            raise UsageError(f"{table.path}: the {what} is not clear: {listed}")
        chosen[what] = next(iter(values.values()), None)
    if chosen["dataset"] is None:
        raise UsageError(f"which dataset does {table.path} predict? give -d and -p, or --task DIR")
    protocols = [chosen["protocol"]] if chosen["protocol"] else []
    tasks = plan_tasks([chosen["dataset"]], protocols, None, registry, context)
    tasks.require()
    if exported:
        exported.require_same_data(tasks.folds[0])
    return tasks


def check_predictions(
    table: PredictionTable, cells: Sequence[Cell], registry: Registry, context: DatasetContext
) -> None:
    """Check the names of every fold before any is scored: a file that is wrong somewhere leaves the store as it was."""
    for cell in cells:
        check_names(table, cell.fold.id, expected_names(cell, registry, context))


def content_version(path: Path, card: ModelCard | None) -> str:
    """Hash of a file's content and its card, 16 hexadecimal digits."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    if card:
        digest.update(card.model_dump_json().encode())
    return digest.hexdigest()[:16]
