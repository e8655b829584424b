"""Models: the contract plugin authors implement, and helpers for them.

Helpers that import torch live in modules of their own: `stbench.models.lightning_model`, `section_model`, `training`,
`losses`, `encoders`, `embeddings`, …
"""

from __future__ import annotations

from stbench.models.contract import (
    PREDICT_STAGE,
    Attentive,
    Context,
    Dense,
    DenseMap,
    DenseTile,
    Model,
    Params,
    Points,
    Prediction,
    PredictionBlock,
    Savable,
    Weights,
    stack_targets,
)
from stbench.models.inner_folds import inner_folds
from stbench.models.patch_params import PatchParams
from stbench.models.section_params import SectionParams

__all__ = [
    "PREDICT_STAGE",
    "Attentive",
    "Context",
    "Dense",
    "DenseMap",
    "DenseTile",
    "Model",
    "Params",
    "PatchParams",
    "Points",
    "Prediction",
    "PredictionBlock",
    "Savable",
    "SectionParams",
    "Weights",
    "inner_folds",
    "stack_targets",
]
