"""A metric of a third party costs its own rows, never the run."""

from __future__ import annotations

import numpy as np
import pytest

from stbench.execution.predicted import Predicted
from stbench.execution.scoring import metric_rows
from stbench.metrics import Scores
from stbench.metrics.spots import pcc_spot
from stbench.registry import MetricSpec
from stbench.testing import toy_slides


def spec(name: str, level: str = "slide") -> MetricSpec:
    return MetricSpec(name=name, factory="a.b:c", level=level)


def raises(truth, prediction, measured, slide):
    raise ZeroDivisionError("no")


def not_a_number(truth, prediction, measured, slide):
    return Scores(np.array([np.nan]), np.array([1]), (None,))


def test_metrics_that_raise_or_return_nan_leave_the_others_alone(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    slide = toy_slides(tmp_path)[0]
    predicted = Predicted(slide.target)

    rows = metric_rows(
        "run", slide, predicted, [(spec("bad"), raises), (spec("nan"), not_a_number), (spec("good", "spot"), pcc_spot)]
    )

    assert [row["metric"] for row in rows] == ["good"]
    assert rows[0]["value"] == pytest.approx(1.0)
    said = capsys.readouterr().err
    assert "metric bad gives nothing" in said
    assert "metric nan returned NaN" in said


def test_metrics_that_share_a_function_are_computed_at_once(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    slide = toy_slides(tmp_path)[0]
    slide.adata.obs["region"] = "stroma"
    calls = []

    def two_at_once(truth, prediction, measured, slide):
        calls.append(list(slide.adata.obs["region"]))
        return {name: Scores(np.array([value]), np.array([1]), (None,)) for name, value in (("one", 1.0), ("two", 2.0))}

    def breaks(truth, prediction, measured, slide):
        calls.append([])
        raise ZeroDivisionError("no")

    metrics = [(spec(name), two_at_once) for name in ("one", "two", "three")]
    broken = [(spec(name), breaks) for name in ("bad", "worse")]
    rows = metric_rows("run", slide, Predicted(slide.target), [*metrics, *broken])

    assert [(row["metric"], row["value"]) for row in rows] == [("one", 1.0), ("two", 2.0)]
    assert calls == [["stroma"] * slide.n_spots, []]
    said = capsys.readouterr().err
    assert "the function of metric three returned one, two, and not three" in said
    assert "metric bad gives nothing" in said
    assert "metric worse gives nothing" in said


def test_a_model_cannot_change_what_its_validation_is_scored_on(toys) -> None:
    from stbench.execution import run_cell
    from stbench.store import Store

    honest = run_cell(toys.cell("toy-good"), toys.options)
    cheat = run_cell(toys.cell("toy-cheats-validation"), toys.options)

    assert (honest.status, cheat.status) == ("ok", "ok")
    sql = "SELECT model, max(ss_true) AS spread FROM moments WHERE split = 'validation' GROUP BY 1"
    spread = {row["model"]: row["spread"] for row in Store(toys.store).query(sql).to_pylist()}
    assert spread["toy-cheats-validation"] == pytest.approx(spread["toy-good"])
