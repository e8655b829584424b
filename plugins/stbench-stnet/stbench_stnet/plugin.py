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

SEPALS_VISIUM = {"mae_pooled": 0.654, "mse_pooled": 0.762, "pcc_pooled": 0.300, "r2_pooled": 0.053, "pcc_spot": 0.924}
SEPALS_STNET = {"mse_pooled": 0.537, "pcc_pooled": 0.030, "r2_pooled": -0.165}
"""The paper of SEPAL on its own re-implementation; ST-Net's paper prints no number that a metric here measures."""


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
            published=tuple(
                Published(
                    dataset=dataset,
                    protocol="sepal-2023",
                    metric=metric,
                    value=value,
                    where="SEPAL (arXiv 2309.01036), Table 2, its re-implementation",
                    preset="sepal",
                )
                for dataset, values in (("visium", SEPALS_VISIUM), ("stnet", SEPALS_STNET))
                for metric, value in values.items()
            ),
        )
    ]
