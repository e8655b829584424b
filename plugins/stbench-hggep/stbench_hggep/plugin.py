"""What stbench is told about HGGEP; imports neither torch nor the model."""

from __future__ import annotations

from stbench.registry import EncoderSpec, ModelSpec, Paper, Published, hookimpl

STBENCH_API = "1"

AS_CODED = {
    "hypergraph": "code",
    "self_distillation": 5,
    "epochs": 500,
    "keep_last_epoch": True,
}
SMOKE = {
    "pixels": 24,
    "microns": 56.0,
    "weights": "random",
    "stages": ["stage3"],
    "dim": 64,
    "depth": 1,
    "heads": 2,
    "dim_head": 32,
    "mlp_dim": 64,
    "dropout": 0.0,
    "hypergraph_dim": 32,
    "hypergraph_dropout": 0.1,
    "lstm_layers": 1,
    "zinb_weight": 0.02,
    "lr": 3e-3,
    "epochs": 50,
}

AUTHORS = {"her2st": ("HGGEP_her2.npy", 0.1943), "cscc": ("HGGEP_CSCC.npy", 0.2108)}
"""Mean over sections of the mean over genes in the output files that the authors publish beside their code."""


@hookimpl
def stbench_models() -> list[ModelSpec]:
    """HGGEP."""
    return [
        ModelSpec(
            name="hggep",
            factory="stbench_hggep.model:Hggep",
            params="stbench_hggep.params:HggepParams",
            title="HGGEP: gradient enhancement, transformers and a hypergraph over all spots of a section",
            paper=Paper(authors="Li, Zhang, Wang, Zhang, Li, Wang, Song", year=2024, doi="10.1093/bib/bbae500"),
            presets={"as-coded": AS_CODED, "smoke": SMOKE},
            published=tuple(
                Published(
                    dataset=dataset,
                    protocol="histogene-2021",
                    metric="pcc_slide",
                    value=value,
                    where=f"the authors' output file {file}; each section's epoch was chosen by that section",
                    preset="as-coded",
                )
                for dataset, (file, value) in AUTHORS.items()
            ),
        )
    ]


@hookimpl
def stbench_encoders() -> list[EncoderSpec]:
    """HGGEP's backbone."""
    return [
        EncoderSpec(
            name="shufflenet-v2-x0-5",
            factory="stbench_hggep.backbone:shufflenet",
            title="ShuffleNetV2 x0.5 (torchvision, ImageNet)",
            n_features=1024,
            weights_url="https://download.pytorch.org/models/shufflenetv2_x0.5-f707e7126e.pth",
            licence="BSD-3-Clause",
        )
    ]
