from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from stbench.builtin import stbench_metrics, stbench_protocols
from stbench.models.weights import missing_weights
from stbench.registry import ModelSpec
from stbench.versions import API_VERSION
from stbench_hggep import plugin
from stbench_hggep.params import HggepParams


def spec() -> ModelSpec:
    (only,) = plugin.stbench_models()
    return only


def test_the_spec_leads_to_the_model() -> None:
    from stbench_hggep.model import Hggep

    assert plugin.STBENCH_API == API_VERSION
    assert spec().load() is Hggep
    assert spec().load_params() is HggepParams


def test_the_backbone_is_the_registered_encoder() -> None:
    from stbench_hggep.backbone import N_FEATURES

    (encoder,) = plugin.stbench_encoders()

    assert encoder.name == HggepParams().encoder
    assert encoder.n_features == N_FEATURES


def offline(monkeypatch: pytest.MonkeyPatch, torch_home: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def test_planning_finds_missing_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch, tmp_path)
    asked = HggepParams().model_dump()

    (message,) = missing_weights([asked, asked], tmp_path)

    assert message.startswith("encoder shufflenet-v2-x0-5: its pretrained weights are not here and cannot be fetched")
    assert f"Put the weights of shufflenetv2_x0.5-f707e7126e.pth, as safetensors, at {tmp_path}" in message
    assert "--set weights=random" in message
    assert missing_weights([asked | {"weights": "random"}], tmp_path) == []


@pytest.mark.parametrize(
    "place", ["hub/checkpoints/shufflenetv2_x0.5-f707e7126e.pth", "weights/shufflenet-v2-x0-5.safetensors"]
)
def test_planning_finds_weights_that_are_here(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch, tmp_path)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()

    assert missing_weights([HggepParams().model_dump()], tmp_path) == []


def test_the_weights_are_those_that_torchvision_fetches() -> None:
    from torchvision.models import ShuffleNet_V2_X0_5_Weights

    (encoder,) = plugin.stbench_encoders()

    assert ShuffleNet_V2_X0_5_Weights.DEFAULT.url == encoder.weights_url


def test_as_coded_differs_from_the_default_only_where_the_code_does() -> None:
    coded = HggepParams.model_validate(spec().presets["as-coded"]).model_dump()
    default = HggepParams().model_dump()

    changed = {"hypergraph", "self_distillation", "epochs", "keep_last_epoch"}
    assert {name for name in coded if coded[name] != default[name]} == changed
    assert (coded["lr"], coded["theta"], coded["nearest"], coded["neighbours"]) == (1e-5, 0.7, 3, 8)
    assert (coded["zinb_weight"], coded["distillation_weight"], coded["self_distillation"]) == (0.25, 0.5, 5)


def test_smoke_needs_no_download() -> None:
    assert HggepParams.model_validate(spec().presets["smoke"]).weights == "random"


def test_published_numbers_name_a_protocol_and_metrics_that_exist() -> None:
    published = spec().published

    assert {p.protocol for p in published} <= {p.name for p in stbench_protocols()}
    assert {p.metric for p in published} <= {m.name for m in stbench_metrics()}


def test_published_numbers_are_means_over_the_sections_in_the_authors_files() -> None:
    data = Path(os.environ.get("STBENCH_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
    file = data / "reference" / "hggep_reported_pcc.npz"
    if not file.is_file():
        pytest.skip(f"no {file}; set STBENCH_TEST_DATA")
    tables = np.load(file)  # (sections, genes) each; two rows of summaries follow

    assert {p.dataset: p.value for p in spec().published} == {
        dataset: pytest.approx(float(np.nanmean(tables[name][:-2], 1).mean()), abs=5e-5)
        for dataset, name in (("her2st", "her2"), ("cscc", "cscc"))
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixels": 8},
        {"lr": 0},
        {"dropout": 1},
        {"theta": 2},
        {"stages": []},
        {"stages": ["conv1"]},
        {"hypergraph": "both"},
        {"encoder": "resnet18"},
        {"nearest": -1},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HggepParams.model_validate(wrong)


def test_a_width_that_does_not_fit_the_maps_says_so() -> None:
    with pytest.raises(ValidationError, match="dim 1000 is no multiple of the 16 positions that stage4 has at 112"):
        HggepParams(dim=1000)
    HggepParams(dim=1008, stages=("stage4", "pooled"))


def test_every_parameter_is_described() -> None:
    assert all(field.description for field in HggepParams.model_fields.values())


@pytest.mark.parametrize("module", ["plugin", "params"])
def test_planning_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'lightning', 'anndata', 'scanpy', 'pandas'}"
    code = f"import sys, stbench_hggep.{module}; print(sorted({heavy} & set(sys.modules)))"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
