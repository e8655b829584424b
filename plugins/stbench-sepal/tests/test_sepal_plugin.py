from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from stbench.builtin import stbench_metrics, stbench_protocols
from stbench.registry import ModelSpec
from stbench.versions import API_VERSION
from stbench_sepal import plugin
from stbench_sepal.params import EncoderParams, SepalParams, VitDeltaParams, VitDeltaS7Params, VitParams

SPECS = {spec.name: spec for spec in plugin.stbench_models()}


def test_specs_lead_to_models() -> None:
    from stbench_sepal.model import Sepal
    from stbench_sepal.vit import Vit

    assert plugin.STBENCH_API == API_VERSION
    assert {name: spec.load() for name, spec in SPECS.items()} == {
        "sepal": Sepal, "vit": Vit, "vit-delta": Vit, "vit-delta-s7": Vit
    }  # fmt: skip


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
@pytest.mark.parametrize("preset", ["visium", "stnet", "as-coded", "smoke"])
def test_presets_fit_the_parameters(spec: ModelSpec, preset: str) -> None:
    params = spec.load_params()

    assert params.model_validate(spec.presets[preset]) is not None


def test_controls_differ_in_one_thing_each() -> None:
    vit, delta, s7 = VitParams().model_dump(), VitDeltaParams().model_dump(), VitDeltaS7Params().model_dump()

    assert {name for name in vit if vit[name] != delta[name]} == {"deltas"}
    assert {name for name in vit if delta[name] != s7[name]} == {"patch_scale"}
    assert VitDeltaS7Params(microns=55.0).field_um == 385.0


@pytest.mark.parametrize("preset", ["visium", "stnet", "smoke"])
def test_stage_1_is_vit_delta(preset: str) -> None:
    stage1 = SepalParams.model_validate(SPECS["sepal"].presets[preset]).stage1()

    assert stage1 == VitDeltaParams.model_validate(SPECS["vit-delta"].presets[preset])


def test_presets_are_those_of_table_1() -> None:
    visium, stnet, coded = (
        SepalParams.model_validate(SPECS["sepal"].presets[preset]) for preset in ("visium", "stnet", "as-coded")
    )

    assert (visium.stage1_lr, visium.stage1_batch_size, visium.stage1_epochs) == (1e-4, 320, 50)
    assert (stnet.stage1_lr, stnet.stage1_batch_size, stnet.stage1_epochs) == (1e-2, 128, 50)
    assert (visium.lr, visium.batch_size, visium.epochs, visium.hops) == (1e-5, 256, 300, 3)
    assert (stnet.lr, stnet.batch_size, stnet.epochs, stnet.hops) == (1e-4, 256, 100, 1)
    changed = {name for name, value in coded if value != getattr(visium, name)}
    assert changed == {"augment", "neighbours", "hops"}


@pytest.mark.parametrize(
    "wrong",
    [{"hops": 0}, {"stage1_lr": 0}, {"operator": "gin"}, {"graph": [], "post": [8]}, {"patience": 0}, {"seed": 1}],
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SepalParams.model_validate(wrong)


@pytest.mark.parametrize("params", [SepalParams, VitParams, VitDeltaParams, VitDeltaS7Params, EncoderParams])
def test_every_parameter_is_described(params: type[EncoderParams]) -> None:
    assert all(field.description for field in params.model_fields.values())


def test_published_numbers_name_what_stbench_knows() -> None:
    metrics = {spec.name for spec in stbench_metrics()}
    protocols = {spec.name for spec in stbench_protocols()}

    stated = [(name, n) for name, spec in SPECS.items() for n in spec.published]
    numbers = {(n.dataset, n.method or name, n.metric, n.preset): n.value for name, n in stated}

    assert len(numbers) == len(stated) == 30 + 12 + 4  # the models, SEPAL*, EGN and EGGN
    assert all(n.metric in metrics and n.protocol in protocols for spec in SPECS.values() for n in spec.published)
    assert all(n.preset in {None, *SPECS[name].presets} for name, n in stated)
    assert numbers["visium", "sepal", "pcc_pooled", None] == 0.383
    assert numbers["visium", "vit", "mse_pooled", None] == 0.760
    assert numbers["stnet", "sepal", "r2_pooled", None] == -0.028
    assert numbers["visium", "sepal", "pcc_pooled", "stnet"] == 0.353
    assert numbers["stnet", "EGN", "pcc_pooled", None] == 0.064


@pytest.mark.parametrize("module", ["plugin", "params"])
def test_planning_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'torch_geometric', 'lightning', 'anndata', 'scanpy', 'pandas'}"
    code = f"import sys, stbench_sepal.{module}; print(sorted({heavy} & set(sys.modules)))"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
