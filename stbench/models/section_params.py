"""Parameters that every `stbench.models.section_model.SectionModel` needs, importable without torch."""

from __future__ import annotations

from pydantic import Field

from stbench.models.contract import Params


class SectionParams(Params):
    """How long a module is trained on whole sections; subclasses add their own and other defaults."""

    epochs: int = Field(100, ge=1, description="upper bound of epochs; a step is one section")
    patience: int | None = Field(
        None, ge=1, description="epochs without a lower validation loss before stopping; None: never early"
    )
    keep_last_epoch: bool = Field(
        False, description="train all epochs and keep the last, without looking at validation slides"
    )
