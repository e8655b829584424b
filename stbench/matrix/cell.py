"""One square of the fold matrix, and the key that says when two of them are the same."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from stbench.datasets.transfer import tested_on, trained_on
from stbench.matrix.fold_task import FoldTask
from stbench.versions import NUMERICS

SPECIFICATION = 1
"""Version of the layout of `Cell.specification`."""

KEY_DIGITS = 20

OUTSIDE = "outside"
"""In the place of a distribution: a model that ran elsewhere."""


class Cell(FoldTask):
    """dataset × protocol × fold × model × parameters × seed, with what the record needs to know beside the key."""

    model: str
    model_distribution: str
    results_version: str
    source_digest: str | None = None
    """Digest of the model's source files if it is installed editable."""
    params: dict[str, Any]
    """Resolved parameters as JSON values."""
    params_by_content: dict[str, Any]
    """The same with files replaced by the hash of their content."""
    predict_stage: tuple[str, ...] = ()
    """Parameters that training does not depend on."""
    precision: str = "float32"
    seed: int | None
    """None for a deterministic model."""

    preset: str = ""
    control: bool = False

    @classmethod
    def of(cls, task: FoldTask, *, distributions: dict[str, str] | None = None, **model: Any) -> Cell:
        """The cell of a model on a fold; `model` are the fields that a cell has beside its task's."""
        return cls(**dict(task) | {"distributions": task.distributions | (distributions or {})} | model)

    def specification(self) -> dict[str, Any]:
        """Everything the numbers depend on, and nothing else: no device, path, metric or release number."""
        fold = self.fold.to_json()
        train_revision, _, test_revision = self.dataset_revision.partition("-")
        return {
            "specification": SPECIFICATION,
            "numerics": NUMERICS,
            "train_data": {"name": trained_on(self.dataset), "revision": train_revision},
            "test_data": {"name": tested_on(self.dataset), "revision": test_revision or train_revision},
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
        return _hash(self.specification())

    @property
    def fit_key(self) -> str:
        """Hash of what training depends on; cells that share it need one fitted model."""
        specification = self.specification()
        params = {n: v for n, v in self.params_by_content.items() if n not in self.predict_stage}
        return _hash(specification | {"params": params})

    def __str__(self) -> str:
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{super().__str__()} {self.model}{seed}"


def _hash(specification: dict[str, Any]) -> str:
    canonical = json.dumps(specification, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]
