"""What stbench is told about PixNet; imports neither torch nor the model."""

from __future__ import annotations

from stbench.registry import ModelSpec, Paper, Published, hookimpl

STBENCH_API = "1"

V1_SUM = {"aggregation": "sum"}
SMOKE = {
    "encoder": "test_resnet.r160_in1k",
    "weights": "random",
    "dim": 32,
    "mpp": 4.0,
    "tile_px": 384,
    "train_halo_px": 32,
    "predict_tile_px": 384,
    "halo_px": 128,
    "tiles_per_step": 1,
    "lr": 2e-3,
    "epochs": 25,
    "patience": None,
}

PAPER = Paper(authors="Zhang, Yang, Pan", year=2025, doi="10.48550/arXiv.2503.01347")
METRICS = ("pcc", "mse", "mae")
TABLE_1 = {
    "visium-hd-breast": (0.268, 0.176, 0.299),
    "visium-hd-brain": (0.202, 0.223, 0.407),
    "stnet": (0.362, 0.188, 0.377),
}


@hookimpl
def stbench_models() -> list[ModelSpec]:
    """PixNet."""
    return [
        ModelSpec(
            name="pixnet",
            factory="stbench_pixnet.model:PixNet",
            params="stbench_pixnet.params:PixNetParams",
            title="PixNet: a dense map of expression, pooled over spots of any size",
            paper=PAPER,
            presets={"v1-sum": V1_SUM, "smoke": SMOKE},
            published=tuple(
                Published(dataset=dataset, protocol="pixnet-2025", metric=metric, value=value, where="v1, Table 1")
                for dataset, values in TABLE_1.items()
                for metric, value in zip(METRICS, values, strict=True)
            ),
        )
    ]
