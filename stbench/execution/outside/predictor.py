"""Predictions made elsewhere, in the place of a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from stbench.execution.outside.names import align
from stbench.execution.outside.table import PredictionTable
from stbench.execution.predicted import Predicted
from stbench.execution.prepare import Role
from stbench.execution.task import OnEnd, OnStart, RunOptions, Task
from stbench.execution.worker import run_cell
from stbench.slides import Slide
from stbench.store import Layout, RunRecord, RunWriter
from stbench.store.card import ModelCard
from stbench.store.record import Cost


@dataclass(frozen=True)
class PredictedElsewhere:
    """Answers with the rows of a file; there is nothing to fit, and validation is not asked for."""

    table: PredictionTable
    fold: str
    card: ModelCard | None = None
    roles: Sequence[Role] = ("test",)
    device: str = "elsewhere"

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Do nothing."""

    def predict(self, slide: Slide) -> Predicted:
        """Look the slide up."""
        return align(self.table, self.fold, slide.info.id, list(slide.adata.obs_names), list(slide.adata.var_names))

    def cost(self, measured: Cost) -> Cost:
        """What the card states: fitting and predicting happened elsewhere."""
        seconds = {stage: s for stage, s in measured.seconds.items() if stage not in ("fit", "predict")}
        if self.card and self.card.train_seconds is not None:
            seconds["fit"] = self.card.train_seconds
        return Cost(seconds=seconds, n_parameters=self.card.n_parameters if self.card else None)

    def points(self, slide: Slide) -> None:
        """Nothing: a table has spots alone."""

    def save(self, folder: Path) -> None:
        """Keep nothing: there is no model."""


@dataclass(frozen=True)
class ScoreHere:
    """An executor that scores a file's cells one after the other in this process: nobody's code is trained."""

    table: PredictionTable
    card: ModelCard | None = None

    def __call__(self, tasks: Sequence[Task], options: RunOptions, on_start: OnStart, on_end: OnEnd) -> None:
        """Score each cell; see `stbench.execution.local.run_local`."""
        for task in tasks:
            on_start(task)
            writer = RunWriter(Layout(options.store).create(), task.run_id)
            try:
                on_end(task, self._score(task, writer.folder / "log.txt"))
            except BaseException:
                writer.discard()
                raise

    def _score(self, task: Task, log: Path) -> RunRecord:
        predictor = PredictedElsewhere(self.table, task.cell.fold.id, self.card)
        with log.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
            return run_cell(task.cell, task.options, task.run_id, predictor)
