"""What models that are one LightningModule share: how it is made, kept, restored and counted."""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, TypeVar

import lightning

from stbench.errors import DataError
from stbench.models.contract import Model, Params
from stbench.models.seeding import seeded

WEIGHTS = "module.safetensors"
SHAPE = "module.json"

P = TypeVar("P", bound=Params)


class NetworkModel(Model[P]):
    """A model whose fitted state is one LightningModule; subclasses say which in `module`."""

    sizes: ClassVar[tuple[str, ...]] = ("n_genes",)
    """Whole numbers, attributes that `fit` takes from the training slides and `module` builds by; kept with weights."""

    network: lightning.LightningModule
    n_genes: int

    @abstractmethod
    def module(self, n_genes: int) -> lightning.LightningModule:
        """Make the untrained module; the global generators are seeded when this is called."""

    def save(self, folder: Path) -> None:
        """Write the weights and the sizes."""
        from safetensors.torch import save_model

        save_model(self.network.cpu(), str(folder / WEIGHTS))
        (folder / SHAPE).write_text(json.dumps({name: getattr(self, name) for name in self.sizes}))

    def load(self, folder: Path) -> None:
        """Restore a saved module; the parameters must be those it was trained with.

        Raises
        ------
        DataError
            The weights do not fit these parameters.
        """
        from safetensors.torch import load_model

        kept = json.loads((folder / SHAPE).read_text())
        for name in self.sizes:
            setattr(self, name, int(kept[name]))
        with seeded(self.context):
            self.network = self.module(self.n_genes)
        try:
            load_model(self.network, str(folder / WEIGHTS))
        except RuntimeError as error:
            raise DataError(
                f"{folder / WEIGHTS} does not fit these parameters; load it with those it was fitted with"
            ) from error

    @property
    def n_parameters(self) -> int:
        """Trainable weights."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)
