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

SEPAL = "SEPAL (arXiv 2309.01036), Table 2, run by its authors"
GCHB = "ST-GCHB (arXiv 2406.12229), Table 1, run by its authors"
OTHERS = (
    ("visium", "sepal-2023", "pcc_pooled", 0.199, SEPAL),
    ("stnet", "sepal-2023", "pcc_pooled", -0.007, SEPAL),
    ("dlpfc", "st-gchb-2024", "pcc_markers", 0.0692, GCHB),
    ("dlpfc", "st-gchb-2024", "pcc_hvg50_test", 0.2893, GCHB),
    ("dlpfc", "st-gchb-2024", "pcc_heg50_test", 0.1026, GCHB),
)
"""Numbers that others print of it; its own paper has figures only."""


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
                Published(dataset=dataset, protocol=protocol, metric=metric, value=value, where=where)
                for dataset, protocol, metric, value, where in OTHERS
            ),
        )
    ]
