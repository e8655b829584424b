"""What stbench is told about ST-Net; imports neither torch nor the model."""

from __future__ import annotations

from stbench.registry import ModelSpec, Paper, Published, hookimpl

STBENCH_API = "1"

AS_PUBLISHED = {"epoch_selection": "nested4"}
SEPAL = {
    "microns": 65.0,
    "normalisation": "imagenet",
    "head_init": "default",
    "loss_reduction": "mean",
    "epochs": 200,
}
SMOKE = {
    "encoder": "test_resnet",  # 0.4 million weights; made for tests
    "weights": "random",
    "pixels": 32,
    "microns": 75.0,
    "lr": 3e-4,
    "epochs": 10,
}

SEPAL_TABLE = "SEPAL (arXiv 2309.01036), Table 2, its re-implementation"
SEPALS_VISIUM = {"mae_pooled": 0.654, "mse_pooled": 0.762, "pcc_pooled": 0.300, "r2_pooled": 0.053, "pcc_spot": 0.924}
SEPALS_STNET = {"mse_pooled": 0.537, "pcc_pooled": 0.030, "r2_pooled": -0.165}
"""The paper of SEPAL on its own re-implementation; ST-Net's paper prints no number that a metric here measures."""

GCHB_TABLE = "ST-GCHB (arXiv 2406.12229), Table 1, run by its authors"
GCHBS = {"pcc_markers": 0.0681, "pcc_hvg50_test": 0.2858, "pcc_heg50_test": 0.1240}


@hookimpl
def stbench_models() -> list[ModelSpec]:
    """ST-Net."""
    return [
        ModelSpec(
            name="st-net",
            factory="stbench_stnet.model:StNet",
            params="stbench_stnet.params:StNetParams",
            title="ST-Net: a DenseNet-121 fine-tuned on each spot's patch",
            paper=Paper(
                authors="He, Bergenstråhle, Stenbeck, Abid, Andersson, Borg, Maaskola, Lundeberg, Zou",
                year=2020,
                doi="10.1038/s41551-020-0578-x",
            ),
            presets={"as-published": AS_PUBLISHED, "sepal": SEPAL, "smoke": SMOKE},
            published=(
                *_published("visium", "sepal-2023", SEPALS_VISIUM, SEPAL_TABLE, "sepal"),
                *_published("stnet", "sepal-2023", SEPALS_STNET, SEPAL_TABLE, "sepal"),
                *_published("dlpfc", "st-gchb-2024", GCHBS, GCHB_TABLE),
            ),
        )
    ]


def _published(
    dataset: str, protocol: str, values: dict[str, float], where: str, preset: str | None = None
) -> list[Published]:
    return [
        Published(dataset=dataset, protocol=protocol, metric=metric, value=value, where=where, preset=preset)
        for metric, value in values.items()
    ]
