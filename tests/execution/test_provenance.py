from __future__ import annotations

from typing import Any

import pytest

from stbench.errors import UsageError
from stbench.execution import provenance
from stbench.execution.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("4h", 14400),
        ("1d", 86400),
        ("1.5h", 5400),
        (" 2m ", 120),
        ("0.5s", 0.5),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0", "0h", "4 hours", "1h30m", "nan", "inf", "1e3s", "٣s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 90s, 30m or 4h"):
        parse_duration(text)


def test_an_encoder_of_unknown_past_is_unknown_to_the_ledger(toys: Any) -> None:
    protocol = toys.registry.get("protocol", "stbench-v1").spec.load()
    random = toys.cell("mean").model_copy(update={"params": {"weights": "random"}})
    pretrained = toys.cell("mean").model_copy(update={"params": {"encoder_weights": "pretrained"}})

    assert provenance.ledger(random, protocol)["encoder_saw_test"] == "no"
    assert provenance.ledger(pretrained, protocol)["encoder_saw_test"] == "unknown"


def test_badges_name_random_weights_and_presets(toys: Any) -> None:
    cell = toys.cell("mean").model_copy(update={"params": {"weights": "random"}, "preset": "smoke"})

    assert provenance.badges(cell, {"same_patient": "yes", "same_image": "no", "encoder_saw_test": "unknown"}) == [
        "same patient",
        "random weights",
        "preset smoke",
    ]


def test_a_step_fitted_on_every_slide_is_a_leak(toys: Any) -> None:
    from dataclasses import replace

    from stbench.protocols.steps import MoranPanel

    protocol = toys.registry.get("protocol", "stbench-v1").spec.load()
    leaking = replace(protocol, target_steps=(MoranPanel(fit_on="all"),))

    entries = provenance.ledger(toys.cell("mean"), leaking)

    assert entries["target_saw_test"] == "yes"
    assert "target saw test" in provenance.badges(toys.cell("mean"), entries)


def test_the_environment_names_machine_and_software() -> None:
    found = provenance.environment()

    assert found["cpu_count"] >= 1
    assert found["memory_gb"] > 0
    assert found["packages"]["numpy"]
    assert found["cpu"]
    assert {"threads", "gpu"} <= set(found)


def test_what_a_third_party_may_do_unseen_is_unknown(toys: Any) -> None:
    from dataclasses import replace

    from stbench.protocols.v1 import STBENCH_V1

    class Smooths:
        fit_on = "none"

    stranger = replace(STBENCH_V1, target_steps=(Smooths(),))

    assert provenance.ledger(toys.cell("mean"), STBENCH_V1)["truth_modified"] == "no"
    assert provenance.ledger(toys.cell("mean"), stranger)["truth_modified"] == "unknown"
    assert provenance.ledger(toys.cell("mean"), STBENCH_V1)["encoder_saw_test"] == "no"
    assert provenance.ledger(toys.cell("toy-good"), STBENCH_V1)["encoder_saw_test"] == "unknown"


def test_a_step_that_modifies_the_truth_and_a_validation_that_is_the_test_are_said(toys: Any) -> None:
    from stbench.protocols.sepal_2023 import SEPAL_2023_CLEAN

    cell = toys.cell("mean")

    assert provenance.ledger(cell, SEPAL_2023_CLEAN)["truth_modified"] == "yes"
    assert provenance.ledger(cell, SEPAL_2023_CLEAN)["selected_on_test"] == "no"
    chosen = cell.model_copy(update={"overlaps": ("validation_is_test",)})
    assert provenance.ledger(chosen, SEPAL_2023_CLEAN)["selected_on_test"] == "yes"
