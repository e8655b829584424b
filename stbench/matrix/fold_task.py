"""What there is to predict, whoever predicts it: one fold of a dataset under a protocol."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from stbench.protocols.folds import Fold


class FoldTask(BaseModel):
    """dataset × protocol × fold: a cell without its model."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    """Its name; ``A_on_B`` where a model trained on A is tested on B (`stbench.datasets.transfer`)."""
    dataset_revision: str
    dataset_distribution: str
    test_distribution: str = ""
    """What brought the data set that is tested on, where it is another."""
    protocol: str
    protocol_version: str
    protocol_distribution: str
    fold: Fold
    distributions: dict[str, str] = {}
    """Version of each distribution that brought something of it."""
    patients: dict[str, str]
    """Patient of each slide in the fold."""
    overlaps: tuple[str, ...] = ()
    """Declared overlaps of training or validation with test."""
    declared: tuple[str, ...] = ()
    complete_parts: int
    """Test parts of the whole task if every slide had its image: what coverage refers to."""

    def __str__(self) -> str:
        return f"{self.dataset}/{self.protocol} fold {self.fold.id}"
