"""One plugin of every kind, written for API 1: what it uses has to keep working as long as the API is 1."""

from __future__ import annotations

from stbench.registry import (
    DatasetSpec,
    EncoderSpec,
    MetricSpec,
    ModelSpec,
    Paper,
    ProtocolSpec,
    Published,
    hookimpl,
)

STBENCH_API = "1"


@hookimpl
def stbench_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="good-forest",
            factory="stbench_good.model:Forest",
            params="stbench_good.params:ForestParams",
            title="random forest on colour histograms, scikit-learn only",
            licence="MIT",
            paper=Paper(authors="Nobody", year=2026, doi="10.0000/none"),
            presets={"smoke": {"n_trees": 20}, "good-tiles": {"n_trees": 30}},
            published=(Published(dataset="good-tiles", protocol="good-top", metric="pcc", value=0.5, where="nowhere"),),
        )
    ]


@hookimpl
def stbench_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="good-tiles",
            factory="stbench_good.dataset:Tiles",
            title="coloured tiles, three patients",
            organ="none",
            species="none",
            technology="simulated",
            licence="MIT",
        )
    ]


@hookimpl
def stbench_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="good_spearman",
            factory="stbench_good.metric:spearman",
            title="Spearman rank correlation per gene",
            level="gene",
            direction="max",
            value_range=(-1.0, 1.0),
            version="1",
        )
    ]


@hookimpl
def stbench_protocols() -> list[ProtocolSpec]:
    return [
        ProtocolSpec(
            name="good-top",
            factory="stbench_good.protocol:GOOD_TOP",
            title="leave one patient out, the ten most expressed genes",
        )
    ]


@hookimpl
def stbench_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="good-strides",
            factory="stbench_good.encoder:strides",
            title="two strided convolutions",
            n_features=16,
            licence="MIT",
        )
    ]
