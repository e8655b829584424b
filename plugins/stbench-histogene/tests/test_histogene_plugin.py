from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from stbench.registry import ModelSpec
from stbench.versions import API_VERSION
from stbench_histogene import plugin
from stbench_histogene.params import HisToGeneParams


def spec() -> ModelSpec:
    (only,) = plugin.stbench_models()
    return only


def test_the_spec_leads_to_the_model() -> None:
    from stbench_histogene.model import HisToGene

    assert plugin.STBENCH_API == API_VERSION
    assert spec().load() is HisToGene
    assert spec().load_params() is HisToGeneParams


@pytest.mark.parametrize("preset", ["as-coded", "smoke"])
def test_presets_fit_the_parameters(preset: str) -> None:
    params = HisToGeneParams.model_validate(spec().presets[preset])

    assert params != HisToGeneParams()


def test_as_coded_differs_from_the_default_only_where_the_code_does() -> None:
    coded = HisToGeneParams.model_validate(spec().presets["as-coded"]).model_dump()
    default = HisToGeneParams().model_dump()

    assert {name for name in coded if coded[name] != default[name]} == {"raw_intensities", "keep_last_epoch"}
    assert (coded["lr"], coded["epochs"], coded["depth"], coded["pixels"]) == (1e-5, 100, 8, 112)


@pytest.mark.parametrize("wrong", [{"pixels": 0}, {"lr": 0}, {"dropout": 1}, {"patience": 0}, {"dims": 8}])
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HisToGeneParams.model_validate(wrong)


def test_every_parameter_is_described() -> None:
    assert all(field.description for field in HisToGeneParams.model_fields.values())


@pytest.mark.parametrize("module", ["plugin", "params"])
def test_planning_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'lightning', 'anndata', 'scanpy', 'pandas'}"
    code = f"import sys, stbench_histogene.{module}; print(sorted({heavy} & set(sys.modules)))"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
