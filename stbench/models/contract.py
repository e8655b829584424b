"""What a model is to stbench. A scikit-learn model fits it as easily as a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FilePath, JsonValue

from stbench.slides import Slide

PredictionBlock = tuple[slice, NDArray[np.float32], NDArray[np.float32] | None]
"""(spot range, mean (spots, genes), standard deviation of the same shape or None)."""

Prediction = NDArray[np.float32] | Iterator[PredictionBlock]

Weights = Literal["pretrained", "random"] | FilePath
"""An encoder's weights: published, a fixed random initialisation (flagged in every table), or a safetensors file."""

Precision = Literal["float32", "bf16-mixed", "16-mixed"]


def silent(message: str) -> None:
    """Say nothing."""


def uncounted(what: str, done: int, total: int) -> None:
    """Show no progress."""


def as_usual(batch_size: int) -> int:
    """Leave a batch as large as it is."""
    return batch_size


@dataclass(frozen=True)
class Context:
    """What a model is told about its run; there are no globals.

    Attributes
    ----------
    seed
        Seed of every random draw.
    device
        A torch device string: ``cpu``, ``cuda:0``, ``mps``.
    precision
        ``float32``, or mixed precision for training and prediction.
    compile
        Whether networks are compiled for training; `stbench.models.training.train_module` does it.
    work_dir
        Empty folder for the model's own files; removed after the run.
    cache_dir
        The shared, content-addressed cache.
    report
        Call with one line of progress.
    progress
        Call with what is counted, how many are done and of how many: ``progress("epoch", 3, 200)``. The command's
        display shows it; calling it often costs nothing.
    batch
        Size of a batch in prediction or embedding, given its usual size: smaller when the cell ran out of memory before
        and is tried once more, which happens only to models that ask. Never ask for training: its batches make the
        numbers.
    """

    seed: int
    device: str
    work_dir: Path
    cache_dir: Path
    precision: Precision = "float32"
    compile: bool = False
    report: Callable[[str], None] = silent
    progress: Callable[[str, int, int], None] = uncounted
    batch: Callable[[int], int] = as_usual


PREDICT_STAGE: dict[str, JsonValue] = {"stage": "predict"}
"""Marks a parameter that training does not depend on: ``Field(1, json_schema_extra=PREDICT_STAGE)``."""


class Params(BaseModel):
    """A model's parameters: what ``--set`` may change, what is documented and what is hashed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def predict_stage(cls) -> frozenset[str]:
        """Names of the parameters marked `PREDICT_STAGE`; what differs in nothing else is trained once."""
        return frozenset(n for n, f in cls.model_fields.items() if f.json_schema_extra == PREDICT_STAGE)


@dataclass(frozen=True)
class Points:
    """Predictions of a slide away from its spots, which nothing is measured of.

    Attributes
    ----------
    centers_px
        Pixel centres (x, y), (points, 2).
    side_um
        Side of the square, or diameter of the disk, that a value is of.
    mean
        (points, genes) float32, genes as in a prediction.
    """

    centers_px: NDArray[np.float64]
    side_um: float
    mean: NDArray[np.float32]


P = TypeVar("P", bound=Params)


class Model(ABC, Generic[P]):
    """A method that predicts expression from an image.

    Parameters
    ----------
    params
        The resolved parameters.
    context
        Seed, device, folders.

    Attributes
    ----------
    pointwise
        Class attribute: what is predicted for a spot does not hang on which other spots are asked for. A slide that
        does not fit in memory is then asked for some thousand spots at a time, and the model need not know.
    """

    pointwise: ClassVar[bool] = False

    def __init__(self, params: P, context: Context) -> None:
        self.params = params
        self.context = context

    @abstractmethod
    def fit(self, train: Sequence[Slide], validation: Sequence[Slide]) -> None:
        """Train on slides with targets in ``adata.X``; choose (epochs, checkpoints) by validation only."""

    @abstractmethod
    def predict(self, slide: Slide) -> Prediction:
        """Predict a slide that carries no expression.

        Returns
        -------
        (spots, genes) float32 in target units, genes in the order of the training slides' ``var_names``; or an
        iterator of `PredictionBlock` in spot order for slides that do not fit in memory.
        """

    def points(self, slide: Slide) -> Points | None:
        """What the model says of the slide beyond its spots, asked right after `predict`; it is kept with the run."""
        return None

    @property
    def n_parameters(self) -> int | None:
        """Number of trainable parameters once fitted, if that means something."""
        return None

    @property
    def reused_seconds(self) -> float:
        """Training time that an earlier run spent on what `fit` took from the cache; it counts as this run's cost."""
        return 0.0


@runtime_checkable
class Savable(Protocol):
    """A model that ``--keep model`` can keep: safetensors and JSON, never pickle."""

    def save(self, folder: Path) -> None:
        """Write the fitted model into an empty folder."""
        ...

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        ...


@runtime_checkable
class Attentive(Protocol):
    """A model whose spots attend to others of their section, and that shows how: ``stbench plot attention``."""

    def attention(self, slide: Slide, spot: int) -> NDArray[np.float32]:
        """How much the fitted model lets a spot attend to each spot, (layers, heads, spots); each row sums to 1."""
        ...


class DenseTile(NamedTuple):
    """A rectangle of a dense map.

    Attributes
    ----------
    top, left
        Row and column of its first pixel in the map.
    values
        (genes, rows, columns) float32, in target units.
    """

    top: int
    left: int
    values: NDArray[np.float32]


@dataclass(frozen=True)
class DenseMap:
    """Expression everywhere on a slide's image, from the image's top left corner on.

    Attributes
    ----------
    shape
        Rows and columns.
    pixel_um, pixel_px
        Side of a pixel of the map in µm, and in pixels of the slide's image.
    tiles
        Rectangles that together cover the map, each pixel once; made when asked for: one is in memory at a time.
    """

    shape: tuple[int, int]
    pixel_um: float
    pixel_px: float
    tiles: Iterator[DenseTile]


@runtime_checkable
class Dense(Protocol):
    """A model that predicts everywhere on an image, spots or not."""

    def dense(self, slide: Slide, genes: Sequence[int]) -> DenseMap:
        """Predict the whole image of a slide for some genes, given by their columns in a prediction."""
        ...


def stack_targets(slides: Sequence[Slide]) -> NDArray[np.float32]:
    """Targets of several slides, (all spots, genes)."""
    return np.concatenate([slide.target for slide in slides])
