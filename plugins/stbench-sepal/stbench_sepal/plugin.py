"""What stbench is told about SEPAL and its controls; imports neither torch nor the models."""

from __future__ import annotations

from stbench.registry import ModelSpec, Paper, hookimpl
from stbench_sepal.published import published

STBENCH_API = "1"

PAPER = Paper(authors="Mejia, Cárdenas, Ruiz, Castillo, Arbeláez", year=2023, doi="10.48550/arXiv.2309.01036")

VIT_VISIUM = {"microns": 65.0, "lr": 1e-4, "batch_size": 320, "epochs": 50}
VIT_STNET = {"microns": 200.0, "lr": 1e-2, "batch_size": 128, "epochs": 50}
SMOKE_INPUT = {"encoder": "test_resnet.r160_in1k", "weights": "random", "pixels": 32, "microns": 75.0}
VIT_SMOKE = SMOKE_INPUT | {"lr": 3e-3, "batch_size": 64, "epochs": 25}
DELTA_SMOKE = SMOKE_INPUT | {"lr": 1e-3, "batch_size": 32, "epochs": 8}
VIT_AS_CODED = {"augment": "batch"}

VISIUM = {
    "microns": 65.0,
    "stage1_lr": 1e-4,
    "stage1_batch_size": 320,
    "hops": 3,
    "combine": "concat",
    "pre": [512],
    "operator": "gcn",
    "graph": [256, 128],
    "post": [],
    "lr": 1e-5,
    "epochs": 300,
}
STNET = {
    "microns": 200.0,
    "stage1_lr": 1e-2,
    "stage1_batch_size": 128,
    "hops": 1,
    "combine": "sum",
    "pre": [],
    "operator": "graph",
    "graph": [],
    "post": None,
    "lr": 1e-4,
    "epochs": 100,
}
AS_CODED = VISIUM | {"augment": "batch", "neighbours": "knn", "hops": 1}
SMOKE = SMOKE_INPUT | {
    "stage1_lr": DELTA_SMOKE["lr"],
    "stage1_batch_size": DELTA_SMOKE["batch_size"],
    "stage1_epochs": DELTA_SMOKE["epochs"],
    "zoom": False,
    "hops": 2,
    "pre": [64],
    "graph": [64],
    "pooling": "mean",
    "lr": 3e-4,
    "epochs": 3,
}


@hookimpl
def stbench_models() -> list[ModelSpec]:
    """SEPAL and the three models of its ablation."""
    return [
        ModelSpec(
            name="sepal",
            factory="stbench_sepal.model:Sepal",
            params="stbench_sepal.params:SepalParams",
            title="SEPAL: deltas from a vision transformer, corrected by a graph network over the surroundings",
            paper=PAPER,
            presets={"visium": VISIUM, "stnet": STNET, "as-coded": AS_CODED, "smoke": SMOKE},
            published=published("sepal"),
        ),
        _vit("vit", "VitParams", "ViT: a vision transformer fine-tuned on each spot's patch", VIT_SMOKE),
        _vit(
            "vit-delta",
            "VitDeltaParams",
            "ViT+Δ: the same, predicting the difference from the training mean",
            DELTA_SMOKE,
        ),
        _vit(
            "vit-delta-s7",
            "VitDeltaS7Params",
            "ViT+Δ+S7: the same, with a patch of seven spots' width",
            DELTA_SMOKE,
        ),
    ]


def _vit(name: str, params: str, title: str, smoke: dict[str, object]) -> ModelSpec:
    return ModelSpec(
        name=name,
        factory="stbench_sepal.vit:Vit",
        params=f"stbench_sepal.params:{params}",
        title=title,
        paper=PAPER,
        presets={"visium": VIT_VISIUM, "stnet": VIT_STNET, "as-coded": VIT_AS_CODED, "smoke": smoke},
        published=published(name),
    )
