"""Who predicts the test slides of a cell: its model, trained here, or somebody elsewhere."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from stbench.execution.batch_size import BatchSize
from stbench.execution.blocks import predict
from stbench.execution.predicted import Predicted, checked_points, gather
from stbench.execution.prepare import ROLES, Role
from stbench.execution.shared_fits import fit_or_take
from stbench.execution.step import StepFile
from stbench.execution.task import RunOptions
from stbench.matrix import Cell
from stbench.models import Context, Model, Points, Savable
from stbench.registry import Registered, discover
from stbench.slides import Slide
from stbench.store.card import ModelCard
from stbench.store.record import Cost


class Predictor(Protocol):
    """What the worker asks for predictions."""

    @property
    def roles(self) -> Sequence[Role]:
        """Parts of the fold that are loaded for it."""
        ...

    @property
    def card(self) -> ModelCard | None:
        """What its authors state of it, if they had to."""
        ...

    @property
    def device(self) -> str:
        """Where it computes."""
        ...

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train, if that is still to be done."""
        ...

    def predict(self, slide: Slide) -> Predicted:
        """Predict a prepared slide, of which a model is shown no expression."""
        ...

    def points(self, slide: Slide) -> Points | None:
        """What it says of the slide predicted last beyond its spots."""
        ...

    def cost(self, measured: Cost) -> Cost:
        """What it cost, given what was measured in this process."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted model into a folder that is made for it, if it can be kept."""
        ...


class TrainedHere:
    """The cell's own model.

    Parameters
    ----------
    work
        Folder for files of its own; removed after the run.
    shares_fit
        Leave the fitted model for another cell, or take it from one.
    """

    card: ModelCard | None = None

    def __init__(self, cell: Cell, options: RunOptions, work: Path, shares_fit: bool = False) -> None:
        self.roles: Sequence[Role] = ROLES
        self.cell = cell
        self.options = options
        self.work = work
        self.shares_fit = shares_fit
        self.n_parameters: int | None = None
        self.reused_seconds = 0.0
        self.batch = BatchSize(options.batch_share, work)

    @property
    def device(self) -> str:
        """The device asked for, or the machine's best."""
        return torch_device(self.options.device)

    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Make the model and train it."""
        self.n_genes = int(train[0].adata.n_vars)
        if self.options.batch_share < 1:
            say(f"second attempt after running out of memory: batches × {self.options.batch_share:g}")
        self.model: Model = self._build(discover().get("model", f"{self.cell.model_distribution}:{self.cell.model}"))  # type: ignore[type-arg]
        if self.shares_fit:
            self.reused_seconds = fit_or_take(self.model, self.cell, self.options.cache_dir, (train, validation))
        else:
            self.model.fit(train, validation)
            self.reused_seconds = float(self.model.reused_seconds)
        self.n_parameters = self.model.n_parameters

    def predict(self, slide: Slide) -> Predicted:
        """Let the model predict the slide without its expression, and check the answer."""
        folder = Path(tempfile.mkdtemp(prefix="blocks-", dir=self.work))
        return gather(predict(self.model, slide.without_expression()), slide, self.n_genes, folder)

    def points(self, slide: Slide) -> Points | None:
        """What the model says of the slide beyond its spots, checked.

        Raises
        ------
        PredictionError
            Points and values that do not go together.
        """
        points = self.model.points(slide.without_expression())
        return points and checked_points(points, slide, self.n_genes)

    def cost(self, measured: Cost) -> Cost:
        """Add parameters, the training time spent earlier on what was taken from the cache, and what was shared."""
        seconds = dict(measured.seconds)
        if "fit" in seconds:
            seconds["fit"] += self.reused_seconds
        known = {
            "n_parameters": self.n_parameters,
            "seconds": seconds,
            "gpu_shared": self.options.jobs > 1 and self.device != "cpu",
            "batch_share": self.batch.used,
        }
        return measured.model_copy(update=known)

    def save(self, folder: Path) -> None:
        """Let the model save itself, or say that it cannot."""
        if not isinstance(self.model, Savable):
            say(f"--keep model: {self.cell.model} has no save and load; its weights are not kept")
            return
        folder.mkdir()
        self.model.save(folder)

    def _build(self, registered: Registered) -> Model:  # type: ignore[type-arg]
        spec, seed = registered.spec, self.cell.seed or 0
        seed_everything(seed)
        work = self.work / "model"
        work.mkdir()  # no parents: a store that is gone stays gone
        context = Context(
            seed=seed,
            device=self.device,
            work_dir=work,
            cache_dir=self.options.cache_dir,
            precision=self.cell.precision,  # type: ignore[arg-type]
            compile=self.options.compile,
            report=say,
            progress=StepFile(self.work),
            batch=self.batch,
        )
        params = spec.load_params().model_validate(self.cell.params)
        model: Model = spec.load()(params, context)  # type: ignore[type-arg]
        return model


def torch_device(asked: str) -> str:
    """The device asked for as torch names it; of ``auto``, the machine's best."""
    if asked == "cuda":
        return "cuda:0"
    if asked != "auto":
        return asked
    import torch

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def say(message: str) -> None:
    """Print one line of progress into the run's log."""
    print(message, flush=True)
