"""``task.json``: what a model that runs elsewhere has to know."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stbench.errors import DataError, UsageError
from stbench.matrix import FoldTask
from stbench.protocols.folds import Block

FORMAT = "stbench-task"
FORMAT_VERSION = 1
TASK_FILE = "task.json"

NAMING = {
    "spots": "the index of `obs` in every .h5ad; a spot's name is unique in its slide",
    "genes": "column `gene` of panel.csv, the index of `var` in training files; `symbol` is for people",
    "slides": "the `slide` of a part; files of one slide's several parts are numbered",
}
PATCHES = (
    "A patch of X µm is the square of X / mpp image pixels centred on the spot (obsm['spatial'], x and y in pixels of "
    "the image, pixel i covers [i, i + 1)), resampled to the side you want with a triangle filter as wide as the "
    "reduction (Pillow's BILINEAR); beyond the image's edge it is white. No stain normalisation."
)
SEEDS = (
    "One file holds the predictions of one model with one seed (or the mean over an ensemble): score several seeds "
    "under several names. Draw every random number from stated seeds, 0 first."
)


class PartEntry(BaseModel):
    """A slide, or a block of one, in some role, and its file."""

    slide: str
    patient: str
    block: Block | None
    n_spots: int
    file: str
    """Relative to the task's folder."""


class FoldEntry(BaseModel):
    """One fold: files relative to the task's folder."""

    fold: str
    panel: str
    n_genes: int
    train: list[PartEntry]
    validation: list[PartEntry]
    test: list[PartEntry]


class SlideEntry(BaseModel):
    """A slide's image."""

    image: str
    sha256: str
    size_px: tuple[int, int]
    """Width and height."""
    mpp: float
    """µm per pixel."""
    spot_um: float
    """Diameter (circle) or side (square) of a spot."""
    spot_shape: str


class TaskFile(BaseModel):
    """Content of ``task.json``."""

    model_config = ConfigDict(extra="ignore")

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    stbench: str
    dataset: str
    dataset_revision: str
    protocol: str
    protocol_version: str
    headline: str
    """The metric that the leaderboard is sorted by."""
    folds: list[FoldEntry]
    not_runnable: dict[str, str] = {}
    """Folds of the protocol that cannot be run here, and why."""
    slides: dict[str, SlideEntry]
    naming: dict[str, str] = NAMING
    patches: str = PATCHES
    seeds: str = SEEDS

    def require_same_data(self, task: FoldTask) -> None:
        """Raise `DataError` if the data or the protocol are not what was exported."""
        for what in ("dataset_revision", "protocol_version"):
            then, now = getattr(self, what), getattr(task, what)
            if then != now:
                raise DataError(
                    f"the task was exported with {what.replace('_', ' ')} {then}, here it is {now}; "
                    "export it again and predict that"
                )


def read_task(folder: Path) -> TaskFile:
    """Read the task in a folder.

    Raises
    ------
    UsageError
        A folder without one, or one of another format.
    """
    path = folder / TASK_FILE
    try:
        task = TaskFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"--task {folder} holds no {TASK_FILE} that can be read; `stbench task` writes one") from error
    if (task.format, task.format_version) != (FORMAT, FORMAT_VERSION):
        raise UsageError(f"{path} has format {task.format} {task.format_version}; this stbench reads {FORMAT} 1")
    return task
