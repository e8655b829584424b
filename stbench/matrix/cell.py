"""One square of the fold matrix, and the key that says when two of them are the same."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from stbench.protocols.folds import Fold
from stbench.versions import NUMERICS

SPECIFICATION = 1
"""Version of the layout of `Cell.specification`."""

KEY_DIGITS = 20


class Cell(BaseModel):
    """dataset × protocol × fold × model × parameters × seed, with what the record needs to know beside the key."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    dataset_revision: str
    dataset_distribution: str
    protocol: str
    protocol_version: str
    protocol_distribution: str
    fold: Fold
    model: str
    model_distribution: str
    results_version: str
    source_digest: str | None = None
    """Digest of the model's source files if it is installed editable."""
    params: dict[str, Any]
    """Resolved parameters as JSON values."""
    params_by_content: dict[str, Any]
    """The same with files replaced by the hash of their content."""
    precision: str = "float32"
    seed: int | None
    """None for a deterministic model."""

    distributions: dict[str, str] = {}
    """Version of each distribution that brought dataset, protocol or model."""
    preset: str = ""
    control: bool = False
    patients: dict[str, str]
    """Patient of each slide in the fold."""
    overlaps: tuple[str, ...] = ()
    """Declared overlaps of training or validation with test."""
    declared: tuple[str, ...] = ()
    complete_parts: int
    """Test parts of the whole task if every slide had its image: what coverage refers to."""

    def specification(self) -> dict[str, Any]:
        """Everything the numbers depend on, and nothing else: no device, path, metric or release number."""
        fold = self.fold.to_json()
        data = {"name": self.dataset, "revision": self.dataset_revision}
        return {
            "specification": SPECIFICATION,
            "numerics": NUMERICS,
            "train_data": data,
            "test_data": data,
            "protocol": {
                "name": self.protocol,
                "version": self.protocol_version,
                "distribution": self.protocol_distribution,
            },
            "fold": {part: fold[part] for part in ("train", "validation", "test")},
            "model": {
                "name": self.model,
                "distribution": self.model_distribution,
                "results_version": self.results_version,
                "source": self.source_digest,
            },
            "params": self.params_by_content,
            "precision": self.precision,
            "seed": self.seed,
        }

    @property
    def key(self) -> str:
        """Hash of the specification in canonical JSON."""
        canonical = json.dumps(
            self.specification(), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
        )
        return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]

    def __str__(self) -> str:
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{self.dataset}/{self.protocol} fold {self.fold.id} {self.model}{seed}"
