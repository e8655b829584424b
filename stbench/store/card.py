"""A model's card: what the authors of predictions made elsewhere state about them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ModelCard(BaseModel):
    """Statements about a model that ran elsewhere; stbench has verified none of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1)
    authors: str | list[str] | None = None
    url: str | None = None
    licence: str | None = None
    paper: str | None = None
    """DOI of the publication."""
    code_version: str | None = None
    """Release or commit that made the predictions."""
    trained_on: str | None = None
    """Data that the model or its encoder has seen."""
    encoder: str | None = None
    notes: str | None = None
    train_seconds: float | None = Field(None, ge=0, allow_inf_nan=False)
    n_parameters: int | None = Field(None, ge=0)
