"""Stored runs are scored with other metrics from the store alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from stbench.datasets import DatasetContext
from stbench.errors import UsageError
from stbench.execution import run_cell
from stbench.execution.predicted import Predicted
from stbench.execution.prepare import fit_protocol, load_parts, load_protocol, open_dataset
from stbench.execution.rescore import Rescored, choose_metrics, rescore, why_not
from stbench.execution.scoring import metric_rows
from stbench.execution.stored import stored_prediction, stored_slide
from stbench.metrics import Scores, Undefined
from stbench.metrics.spots import pcc_spot
from stbench.registry import MetricSpec
from stbench.slides import Slide
from stbench.store import Layout, Store

GOLDEN = Path(__file__).parents[1] / "store" / "golden-v1"
SEEN: list[Slide] = []


def spearman(truth: Any, prediction: Any, measured: Any, slide: Slide) -> Scores:
    values = np.array([spearmanr(t, p).statistic for t, p in zip(truth.T, prediction.T, strict=True)])
    SEEN.append(slide)
    reasons = tuple(None if np.isfinite(v) else Undefined.CONSTANT_PREDICTION for v in values)
    return Scores(values, measured.sum(0), reasons)


def breaks(truth: Any, prediction: Any, measured: Any, slide: Slide) -> Scores:
    raise ZeroDivisionError("no")


def spec(name: str = "spearman", level: str = "gene") -> MetricSpec:
    return MetricSpec(name=name, factory="a.b:c", level=level)  # type: ignore[arg-type]


def rescored(store: Path, *metrics: Any) -> Rescored:
    opened = Store(store)
    ((folder, record),) = opened.records.items()
    return rescore(opened.layout, folder, record, metrics)


def values(store: Path, metric: str) -> list[dict[str, Any]]:
    sql = f"SELECT slide, gene, value, version, n_obs, undefined_reason FROM metrics WHERE metric = '{metric}'"
    return Store(store).query(f"{sql} ORDER BY ALL").to_pylist()


def test_a_metric_is_added_as_if_the_run_had_had_it(toys: Any) -> None:
    record = run_cell(toys.cell("toy-good"), toys.options)
    own = values(toys.store, "pcc_spot")
    spot_spec = toys.registry.get("metric", "pcc_spot").spec

    result = rescored(toys.store, (replace(spot_spec, name="again"), pcc_spot), (spec(), spearman))

    assert (result.run_id, result.added, result.problems) == (record.run_id, ["again", "spearman"], [])
    assert values(toys.store, "again") == own
    assert len(values(toys.store, "spearman")) == 15
    (row,) = Store(toys.store).query("SELECT value FROM slide_scores WHERE metric = 'spearman'").to_pylist()
    assert row["value"] == pytest.approx(np.mean([r["value"] for r in values(toys.store, "spearman")]))


def test_the_metric_sees_what_it_sees_in_a_run(toys: Any) -> None:
    cell = toys.cell("toy-good")
    run_cell(cell, toys.options)
    protocol = load_protocol(cell, toys.registry)
    dataset = open_dataset(cell, toys.registry, DatasetContext(toys.cache_dir))
    (part,) = load_parts(cell.fold, protocol, dataset, ("test",)).test
    in_run = fit_protocol(cell, protocol, dataset).transform(part)
    SEEN.clear()

    rescored(toys.store, (spec(), spearman))

    (now,) = SEEN
    assert now.info == in_run.info
    assert list(now.adata.obs_names) == list(in_run.adata.obs_names)
    np.testing.assert_array_equal(now.centers_px, in_run.centers_px)
    np.testing.assert_array_equal(now.array_positions, in_run.array_positions)
    np.testing.assert_array_equal(now.neighbours("grid"), in_run.neighbours("grid"))
    assert now.adata.X is None
    assert now.adata.n_vars == 0


def test_the_metric_sees_the_labels_that_were_stored(toys: Any) -> None:
    run_cell(toys.cell("toy-good"), toys.options)
    (spots,) = (toys.store / "truth").glob("*/spots.parquet")
    table = pq.read_table(spots)
    regions = ["stroma", None] * table.num_rows
    column = pa.array(regions[: table.num_rows], pa.string())
    pq.write_table(table.set_column(table.schema.get_field_index("region"), "region", column), spots)
    SEEN.clear()

    rescored(toys.store, (spec(), spearman))

    assert list(SEEN[0].adata.obs["region"]) == regions[: table.num_rows]


def test_scoring_again_replaces(toys: Any) -> None:
    run_cell(toys.cell("toy-good"), toys.options)

    for version in ("2", "3"):
        rescored(toys.store, (replace(spec("pcc_spot", "spot"), version=version), pcc_spot))

    (row,) = values(toys.store, "pcc_spot")
    assert row["version"] == "3"


def test_a_metric_that_raises_costs_its_own_rows_and_is_said(toys: Any) -> None:
    run_cell(toys.cell("toy-good"), toys.options)
    before = values(toys.store, "pcc_spot")

    result = rescored(toys.store, (spec("pcc_spot", "spot"), breaks), (spec(), spearman))

    assert result.added == ["spearman"]
    assert result.problems == ["metric pcc_spot gives nothing for slide P1-S1: ZeroDivisionError: no"]
    assert values(toys.store, "pcc_spot") == before


def test_entries_that_were_not_predicted_are_not_measured(tmp_path: Path, toys: Any) -> None:
    run_cell(toys.cell("toy-good"), toys.options)
    opened = Store(toys.store)
    ((folder, record),) = opened.records.items()
    table = pq.read_table(folder / "predictions.parquet")
    given = np.random.default_rng(0).random(table.num_rows) < 0.8
    masked = table.set_column(5, "y_pred", [np.ma.masked_array(table["y_pred"].to_numpy(), ~given)])
    pq.write_table(masked, folder / "predictions.parquet")

    slide = stored_slide(opened.layout, record, record.test[0])
    predicted = stored_prediction(folder, record.test[0], slide)

    assert predicted.given is not None
    np.testing.assert_array_equal(predicted.given.ravel(order="F"), given)
    assert predicted.coverage(slide) == pytest.approx(given.mean())
    assert not predicted.mean[~predicted.given].any()


def test_an_older_store_is_scored_with_what_its_record_says(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "store")
    opened = Store(tmp_path / "store")
    folder, record = opened.find("run-1")
    SEEN.clear()

    result = rescore(opened.layout, folder, record, [(spec(), spearman)])

    assert result.added == ["spearman"]
    assert (SEEN[0].info.id, SEEN[0].info.patient, SEEN[0].info.dataset) == ("A1", "A", "hand")
    assert [row["value"] for row in values(tmp_path / "store", "spearman")] == pytest.approx([0.8, 0.8])


def test_damaged_files_are_said(toys: Any) -> None:
    run_cell(toys.cell("toy-good"), toys.options)
    (spots,) = (toys.store / "truth").glob("*/spots.parquet")
    spots.unlink()

    result = rescored(toys.store, (spec(), spearman))

    assert result.added == []
    assert len(result.problems) == 1
    assert "what it was scored on cannot be read" in result.problems[0]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [(["pcc"], "pcc follow from the stored moments"), (["pcc_spott"], "unknown metric 'pcc_spott'; did you mean")],
)
def test_other_metrics_are_refused(names: list[str], sentence: str, toys: Any) -> None:
    with pytest.raises(UsageError, match=sentence):
        choose_metrics(names, toys.registry)


def test_runs_that_cannot_be_scored_again_say_why(toys: Any) -> None:
    failed = run_cell(toys.cell("toy-fit-error"), toys.options)
    whole = run_cell(toys.cell("mean"), toys.options)

    assert why_not(failed) == "its status is failed"
    assert why_not(whole) is None
    files = {name: size for name, size in whole.files.items() if name != "predictions.parquet"}
    assert "kept no predictions" in str(why_not(whole.model_copy(update={"files": files})))


def test_rows_are_those_of_the_scoring_in_a_run(toys: Any) -> None:
    record = run_cell(toys.cell("toy-good"), toys.options)
    layout = Layout(toys.store)
    slide = stored_slide(layout, record, record.test[0])
    folder = Store(toys.store).find(record.run_id)[0]

    predicted = stored_prediction(folder, record.test[0], slide)

    assert isinstance(predicted, Predicted)
    rows = metric_rows(record.run_id, slide, predicted, [(spec("pcc_spot", "spot"), pcc_spot)])
    assert [row["value"] for row in rows] == [row["value"] for row in values(toys.store, "pcc_spot")]
