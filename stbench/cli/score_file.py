"""Scoring a file of predictions: ``stbench score FILE --as NAME``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stbench.cli.cells import execute, exit_code, say_notes, summarise
from stbench.cli.options import Format

if TYPE_CHECKING:
    from stbench.matrix import Plan


@dataclass(frozen=True)
class FileRequest:
    """What was asked: a file, the name to score it under, and where to look its dataset and protocol up."""

    file: Path
    name: str
    task: Path | None
    dataset: str | None
    protocol: str | None
    card: Path | None


def score_file(request: FileRequest, store: Path, data_dir: Path | None, output: Format) -> int:
    """Validate the file, score each of its folds as a cell, say how it ended; returns the exit code."""
    from stbench.datasets import DatasetContext
    from stbench.execution.outside.card import read_card
    from stbench.execution.outside.plan import check_predictions, content_version, plan_outside, tasks_of
    from stbench.execution.outside.predictor import ScoreHere
    from stbench.execution.outside.table import read_predictions
    from stbench.execution.outside.task_file import read_task
    from stbench.execution.task import RunOptions
    from stbench.registry import definitions_folder, discover
    from stbench.slides import cache
    from stbench.store import Store

    registry = discover()
    options = RunOptions(
        store=store, cache_dir=cache.root(), data_dir=data_dir, definitions_dir=definitions_folder(), device="elsewhere"
    )
    context = DatasetContext(options.cache_dir, data_dir)
    card = read_card(request.card) if request.card else None
    exported = read_task(request.task) if request.task else None
    table = read_predictions(request.file)
    tasks = tasks_of(table, request.dataset, request.protocol, exported, registry, context)
    planned = plan_outside(table, request.name, content_version(request.file, card), tasks, registry)
    finished = Store(store).finished()
    todo = [cell for cell in planned.cells if cell.key not in finished]
    if output is Format.TABLE:
        say_notes(planned.notes, planned.skipped)
    check_predictions(table, todo, registry, context)
    records, ended = execute(ScoreHere(table, card), todo, options, quiet=output is Format.JSON)
    coverage = _coverage(planned, store)
    summarise(planned, todo, records, store, output, verb="scored", more={"model": request.name, "coverage": coverage})
    if output is Format.TABLE and coverage < 1:
        print(f"they cover {coverage:.1%} of the test; the leaderboard marks the row incomplete beside complete ones")
    return exit_code(records, ended)


def _coverage(planned: Plan, store: Path) -> float:
    """Share of the whole task that the finished cells of a plan cover."""
    from stbench.store import Store

    keys = {cell.key for cell in planned.cells}
    runs = {r.cell_key: r for r in Store(store).records.values() if r.status == "ok" and r.cell_key in keys}
    covered = sum(test.coverage for record in runs.values() for test in record.test)
    return covered / planned.cells[0].complete_parts
