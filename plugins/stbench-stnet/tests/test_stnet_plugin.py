from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from stbench.builtin import stbench_metrics, stbench_protocols
from stbench.registry import ModelSpec
from stbench.versions import API_VERSION
from stbench_stnet import plugin
from stbench_stnet.params import StNetParams


def spec() -> ModelSpec:
    (only,) = plugin.stbench_models()
    return only


def test_the_spec_leads_to_the_model() -> None:
    from stbench_stnet.model import StNet

    assert plugin.STBENCH_API == API_VERSION
    assert spec().load() is StNet
    assert spec().load_params() is StNetParams


def differing(preset: str) -> set[str]:
    chosen = StNetParams.model_validate(spec().presets[preset]).model_dump()
    default = StNetParams().model_dump()
    return {name for name in chosen if chosen[name] != default[name]}


def test_the_defaults_are_the_published_training_but_for_the_choice_of_the_epoch() -> None:
    params = StNetParams.model_validate(spec().presets["as-published"])

    assert differing("as-published") == {"epoch_selection"}
    assert (params.encoder, params.weights, params.pixels) == ("densenet121.tv_in1k", "pretrained", 224)
    assert (params.lr, params.momentum, params.batch_size, params.epochs, params.patience) == (1e-6, 0.9, 32, 50, None)
    assert (params.loss_reduction, params.head_init, params.normalisation) == ("sum_batch", "mean_bias", "estimated")
    assert (params.tta, params.epoch_selection) == ("d4", "nested4")


def test_sepals_re_implementation_differs_where_the_description_says_so() -> None:
    changed = {"microns", "normalisation", "head_init", "loss_reduction", "epochs"}

    assert differing("sepal") == changed
    assert StNetParams.model_validate(spec().presets["sepal"]).lr == 1e-6


def test_smoke_needs_no_download() -> None:
    assert StNetParams.model_validate(spec().presets["smoke"]).weights == "random"


def test_published_numbers_name_a_protocol_and_metrics_that_exist() -> None:
    published = spec().published

    assert {p.protocol for p in published} <= {p.name for p in stbench_protocols()}
    assert {p.metric for p in published} <= {m.name for m in stbench_metrics()}
    assert {p.dataset: p.value for p in published if p.metric == "pcc_pooled"} == {"visium": 0.300, "stnet": 0.030}


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixels": 0},
        {"lr": 0},
        {"momentum": 1},
        {"tta": "d8"},
        {"weights": "nowhere.safetensors"},
        {"dims": 8},
        {"epoch_selection": "nested4", "patience": 3},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StNetParams.model_validate(wrong)


def test_every_parameter_is_described() -> None:
    assert all(field.description for field in StNetParams.model_fields.values())


@pytest.mark.parametrize("module", ["plugin", "params"])
def test_planning_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'timm', 'lightning', 'anndata', 'scanpy', 'pandas'}"
    code = f"import sys, stbench_stnet.{module}; print(sorted({heavy} & set(sys.modules)))"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
