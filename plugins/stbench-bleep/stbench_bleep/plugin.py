"""What stbench is told about BLEEP and its control; imports neither torch nor the models."""

from __future__ import annotations

from stbench.registry import ModelSpec, Paper, Published, hookimpl

STBENCH_API = "1"

PAPER = Paper(authors="Xie, Pang, Chung, Perciani, MacParland, Wang, Bader", year=2023, doi="10.48550/arXiv.2306.01859")
AS_CODED = {"raw_intensities": True, "epochs": 4, "patience": None}
SMOKE = {
    "encoder": "test_resnet.r160_in1k",
    "weights": "random",
    "pixels": 32,
    "microns": 75.0,
    "dim": 64,
    "batch_size": 128,
    "epochs": 12,
    "patience": None,
}

GCHB = "ST-GCHB (arXiv 2406.12229), Table 1, run by its authors"
GCHBS = {"pcc_markers": 0.1020, "pcc_hvg50_test": 0.3985, "pcc_heg50_test": 0.3324}


@hookimpl
def stbench_models() -> list[ModelSpec]:
    """BLEEP, and retrieval that does not look."""
    return [
        ModelSpec(
            name="bleep",
            factory="stbench_bleep.model:Bleep",
            params="stbench_bleep.params:BleepParams",
            title="BLEEP: contrastive alignment of patches and expression, prediction by retrieval",
            paper=PAPER,
            presets={"as-coded": AS_CODED, "smoke": SMOKE},
            published=tuple(
                Published(dataset="dlpfc", protocol="st-gchb-2024", metric=metric, value=value, where=GCHB)
                for metric, value in GCHBS.items()
            ),
        ),
        ModelSpec(
            name="random-retrieval",
            factory="stbench_bleep.control:RandomRetrieval",
            params="stbench_bleep.params:RandomRetrievalParams",
            title="the mean of training spots looked up by random embeddings: what retrieval reaches without the image",
            control=True,
            presets={"smoke": {}},
        ),
    ]
