"""What stbench is told about ST-GCHB; imports neither torch nor the model."""

from __future__ import annotations

from stbench.registry import ModelSpec, Paper, hookimpl

STBENCH_API = "1"

AS_CODED = {"batch_size": 16, "components": 813, "legacy_image_hsic": True}
SMOKE = {
    "encoder": "test_resnet.r160_in1k",
    "weights": "random",
    "trainable": "all",
    "pixels": 32,
    "microns": 75.0,
    "image_features": 128,
    "components": 64,
    "hidden": 64,
    "dim": 64,
    "dropout": 0.1,
    "dgi_epochs": 10,
    "bottleneck_weight": 0.02,
    "batch_size": 128,
    "epochs": 12,
}


@hookimpl
def stbench_models() -> list[ModelSpec]:
    """ST-GCHB."""
    return [
        ModelSpec(
            name="st-gchb",
            factory="stbench_gchb.model:Gchb",
            params="stbench_gchb.params:GchbParams",
            title="ST-GCHB: graph contrastive learning with an HSIC bottleneck, prediction by retrieval",
            paper=Paper(authors="Chi et al.", year=2024, doi="10.48550/arXiv.2406.12229"),
            presets={"as-coded": AS_CODED, "smoke": SMOKE},
        )
    ]
