"""What a model needs of a machine, as a suite states it: hints for executors that never change a number."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Resources(BaseModel):
    """What a cell needs; null where the command decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: int | None = Field(default=None, ge=1, description="CPU threads of a cell")
    gpus: float | None = Field(
        default=None, ge=0, description="GPUs of a cell, 0.25: four share one; read by ray and slurm"
    )
    memory_gb: float | None = Field(
        default=None, gt=0, description="memory of a cell; local starts no more than fit at a time"
    )
    timeout_s: float | None = Field(
        default=None, gt=0, description="time limit of a cell in seconds; it goes before --timeout"
    )
