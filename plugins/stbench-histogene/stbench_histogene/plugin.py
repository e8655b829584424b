"""What stbench is told about HisToGene; imports neither torch nor the model."""

from __future__ import annotations

from stbench.registry import ModelSpec, Paper, Published, hookimpl

STBENCH_API = "1"

AS_CODED = {"raw_intensities": True, "keep_last_epoch": True}
SMOKE = {
    "pixels": 28,
    "microns": 56.0,
    "dim": 128,
    "depth": 2,
    "heads": 4,
    "dim_head": 32,
    "mlp_dim": 256,
    "lr": 2e-3,
    "epochs": 50,
}

SEPALS = {"visium": 0.199, "stnet": -0.007}
"""PCC-Gene by the paper of SEPAL."""


@hookimpl
def stbench_models() -> list[ModelSpec]:
    """HisToGene."""
    return [
        ModelSpec(
            name="histogene",
            factory="stbench_histogene.model:HisToGene",
            params="stbench_histogene.params:HisToGeneParams",
            title="HisToGene: vision transformer over all spots of a section",
            paper=Paper(authors="Pang, Su, Li", year=2021, doi="10.1101/2021.11.28.470212"),
            presets={"as-coded": AS_CODED, "smoke": SMOKE},
            published=tuple(
                Published(
                    dataset=dataset,
                    protocol="sepal-2023",
                    metric="pcc_pooled",
                    value=value,
                    where="SEPAL (arXiv 2309.01036), Table 2, run by its authors",
                )
                for dataset, value in SEPALS.items()
            ),
        )
    ]
