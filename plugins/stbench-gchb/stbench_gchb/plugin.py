"""What stbench is told about ST-GCHB; imports neither torch nor the model."""

from __future__ import annotations

from stbench.registry import ModelSpec, Paper, Published, hookimpl

STBENCH_API = "1"

AS_CODED = {"pixels": 112, "microns": 56.0, "raw_intensities": True, "components": 813, "legacy_image_hsic": True}
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

TABLE_1 = {
    "": (0.1509, 0.4310, 0.3545),
    "Hist2ST": (0.0515, 0.1072, 0.0339),
    "THItoGene": (0.0248, 0.1131, 0.0601),
    "hist2RNA": (0.0536, 0.0208, 0.0754),
}
"""Mean correlation of the markers, and of the 50 most variable and most expressed genes of the test section."""
METRICS = ("pcc_markers", "pcc_hvg50_test", "pcc_heg50_test")


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
            published=tuple(
                Published(
                    dataset="dlpfc", protocol="st-gchb-2024", metric=metric, value=value, where="Table 1", method=method
                )
                for method, values in TABLE_1.items()
                for metric, value in zip(METRICS, values, strict=True)
            ),
        )
    ]
