"""Parameters that every `stbench.models.lightning_model.LightningModel` needs, importable without torch."""

from __future__ import annotations

from pydantic import Field

from stbench.models.contract import Params


class PatchParams(Params):
    """How patches are cut, and how long a module is trained on them; subclasses add their own and other defaults."""

    pixels: int = Field(64, ge=1, description="patch side given to the module")
    microns: float = Field(112.0, gt=0, description="tissue side of a patch, µm")
    batch_size: int = Field(64, ge=1, description="patches per batch, at most")
    epochs: int = Field(50, ge=1, description="upper bound of epochs")
    patience: int | None = Field(
        10, ge=1, description="epochs without a lower validation loss before stopping; None: never early"
    )

    @property
    def field_um(self) -> float:
        """Tissue side of what the module sees, µm."""
        return self.microns
