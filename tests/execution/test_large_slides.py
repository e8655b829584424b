"""A slide that is handled in parts is scored and stored as if it had been handled at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stbench.execution import blocks, run_cell
from stbench.slides import slide as slides
from stbench.store import Store

TABLES = {
    "moments": 'SELECT split, slide, gene, n, mean_true, mean_pred, ss_true, ss_pred, "cross", sum_abs FROM moments',
    "predictions": "SELECT slide, gene, spot, spot_row, y_pred FROM predictions",
    "truth": "SELECT slide, gene, spot, y_true, measured, region FROM truth",
    "reference_scores": "SELECT slide, reference, pcc FROM reference_scores",
}


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "LARGE", 20)
    monkeypatch.setattr(blocks, "SPOTS_PER_BLOCK", 16)


@pytest.mark.parametrize("protocol", ["stbench-v1", "pixnet-2025-clean"])
def test_in_parts_as_at_once(protocol: str, toys: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cell = toys.cell("ridge", protocols=(protocol,), presets={"": "smoke"})
    at_once = run_cell(cell, toys.options)
    request.getfixturevalue("in_parts")
    in_parts = run_cell(cell, toys.options.model_copy(update={"store": tmp_path / "in-parts"}))

    assert at_once.failure is in_parts.failure is None
    assert {t.truth_key for t in at_once.test} == {t.truth_key for t in in_parts.test}
    for name, sql in TABLES.items():
        expected, found = (
            Store(root).query(f"{sql} ORDER BY ALL").to_pandas() for root in (toys.store, tmp_path / "in-parts")
        )
        assert len(expected) > 10 or name == "reference_scores"
        for column in expected:
            if expected[column].dtype.kind == "f":
                np.testing.assert_allclose(
                    found[column], expected[column], rtol=1e-5, atol=1e-6, err_msg=f"{name} {column}"
                )
            else:
                assert list(found[column]) == list(expected[column]), f"{name} {column}"


def test_metrics_that_take_all_values_at_once_say_so(toys: Any, in_parts: None) -> None:
    run_cell(toys.cell("mean"), toys.options)

    rows = (
        Store(toys.store)
        .query("SELECT metric, gene IS NULL AS of_slide, value, undefined_reason FROM metrics GROUP BY ALL")
        .to_pylist()
    )

    assert {(r["value"], r["undefined_reason"]) for r in rows} == {(None, "not_streamable")}
    assert {"spearman", "pcc_spot", "ari_kmeans"} <= {r["metric"] for r in rows}
    assert {r["metric"]: r["of_slide"] for r in rows}["spearman"] is False
    assert {r["metric"]: r["of_slide"] for r in rows}["pcc_spot"] is True
