from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from stbench.registry import ModelSpec
from stbench.versions import API_VERSION
from stbench_pixnet import plugin
from stbench_pixnet.params import PixNetParams


def spec() -> ModelSpec:
    (only,) = plugin.stbench_models()
    return only


def test_the_spec_leads_to_the_model() -> None:
    from stbench_pixnet.model import PixNet

    assert plugin.STBENCH_API == API_VERSION
    assert spec().load() is PixNet
    assert spec().load_params() is PixNetParams


@pytest.mark.parametrize("preset", ["smoke", "v1-sum"])
def test_presets_fit_the_parameters(preset: str) -> None:
    assert PixNetParams.model_validate(spec().presets[preset]) != PixNetParams()


def test_the_defaults_are_those_of_the_paper_where_it_states_them() -> None:
    p = PixNetParams()

    assert (p.dim, p.pcc_weight, p.lr, p.weight_decay, p.epochs) == (512, 0.5, 5e-4, 1e-4, 500)
    assert PixNetParams.predict_stage() == {"predict_tile_px", "halo_px"}


def test_published_numbers_are_those_of_the_first_table() -> None:
    printed = {(p.dataset, p.metric): p.value for p in spec().published}

    assert printed["visium-hd-breast", "pcc"] == 0.268
    assert printed["visium-hd-brain", "mse"] == 0.223
    assert printed["stnet", "mae"] == 0.377
    assert {p.protocol for p in spec().published} == {"pixnet-2025"}


@pytest.mark.parametrize("wrong", [{"levels": 1}, {"mpp": 0}, {"pcc_spots": 1}, {"footprint": "hexagon"}, {"dims": 8}])
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PixNetParams.model_validate(wrong)


def test_every_parameter_is_described() -> None:
    assert all(field.description for field in PixNetParams.model_fields.values())


@pytest.mark.parametrize("module", ["plugin", "params"])
def test_planning_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'lightning', 'anndata', 'scanpy', 'pandas'}"
    code = f"import sys, stbench_pixnet.{module}; print(sorted({heavy} & set(sys.modules)))"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
