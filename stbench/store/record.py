"""The record of a run: one JSON file that says everything reproduction needs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stbench.matrix import Cell
from stbench.store.card import ModelCard
from stbench.versions import NUMERICS, SCHEMA_VERSION

Status = Literal["ok", "failed", "timeout", "oom", "interrupted"]
LedgerEntry = Literal["yes", "no", "unknown"]


class Failure(BaseModel):
    """What stopped a run."""

    stage: str
    """load, protocol, fit, predict, score or commit."""
    kind: str
    """Class of the exception, or how the process ended."""
    message: str
    traceback: str = ""


class TestSlide(BaseModel):
    """A scored test part."""

    __test__ = False  # not a test class, whatever its name looks like

    slide: str
    patient: str
    truth_key: str
    n_spots: int
    coverage: float = 1.0
    """Share of the target's measured entries that were predicted."""


class Cost(BaseModel):
    """What a run cost; null where it was not measured or the device was shared."""

    seconds: dict[str, float] = Field(default_factory=dict)
    """Wall time per stage."""
    peak_memory_mb: float | None = None
    """Peak resident host memory of the process."""
    peak_gpu_memory_mb: float | None = None
    """Peak memory allocated by torch on the GPU."""
    gpu_shared: bool = False
    """Other cells ran on the same GPU: its times are not those of the model, and the view `runs` leaves them out."""
    batch_share: float | None = None
    """Share of its usual batches that the model predicted and embedded at a time; below 1 in a second attempt after the
    first ran out of memory, null if the model does not size them by its context."""
    n_parameters: int | None = None
    """Trainable parameters of the model."""


class RunRecord(BaseModel):
    """One attempt at a cell."""

    model_config = ConfigDict(extra="ignore")

    schema_version: int = SCHEMA_VERSION
    run_id: str
    """Sortable by time of start."""
    cell_key: str
    status: Status
    cell: Cell
    """Everything the numbers depend on, and what was declared of them."""
    numerics: str = NUMERICS
    started: str
    """ISO 8601, UTC."""
    finished: str
    failure: Failure | None = None
    test: list[TestSlide] = Field(default_factory=list)
    n_genes: int | None = None
    """Genes in the fitted panel."""
    ledger: dict[str, LedgerEntry] = Field(default_factory=dict)
    """Leak ledger: overlaps of train and test, what was fitted or chosen on test, what the encoder had seen."""
    badges: list[str] = Field(default_factory=list)
    """What a reader of the number must know, e.g. ``random weights``."""
    cost: Cost = Field(default_factory=Cost)
    device: str = "cpu"
    card: ModelCard | None = None
    """What its authors state of a model that ran elsewhere."""
    environment: dict[str, Any] = Field(default_factory=dict)
    """Python, platform, package versions, git state, hardware."""
    files: dict[str, int] = Field(default_factory=dict)
    """Size in bytes of every file of the run: a truncated one is noticed before it is read."""
