from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from stbench.builtin import stbench_metrics, stbench_protocols
from stbench_gchb.params import GchbParams
from stbench_gchb.plugin import stbench_models


@pytest.mark.parametrize("preset", ["as-coded", "smoke"])
def test_presets_are_parameters(preset: str) -> None:
    GchbParams.model_validate(stbench_models()[0].presets[preset])


def test_how_is_looked_up_needs_no_other_training() -> None:
    assert GchbParams.predict_stage() == {"k", "similarity"}


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"sigma": "mean"}, {"norm": "mean"}, {"trainable": "first"}, {"batch_size": 1}]
)
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GchbParams.model_validate(wrong)


def test_every_parameter_is_described() -> None:
    assert all(field.description for field in GchbParams.model_fields.values())


@pytest.mark.parametrize("module", ["plugin", "params"])
def test_planning_imports_nothing_heavy(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'lightning', 'anndata', 'scanpy', 'pandas'}"
    code = f"import sys, stbench_gchb.{module}; print(sorted({heavy} & set(sys.modules)))"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


def test_published_numbers_name_a_protocol_and_metrics_that_exist() -> None:
    published = stbench_models()[0].published

    assert published
    assert {p.protocol for p in published} <= {p.name for p in stbench_protocols()}
    assert {p.metric for p in published} <= {m.name for m in stbench_metrics()}
