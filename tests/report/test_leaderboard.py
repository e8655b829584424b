from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import SLIDES, commit_failure, commit_run, make_cell, random_slides, slide_pcc
from scipy import stats

from stbench.registry import ModelSpec, Published, Registered, Registry, discover
from stbench.report.leaderboard import Leaderboard, leaderboard
from stbench.report.leaderboard_table import print_leaderboard
from stbench.store import Store
from stbench.store.record import Cost

TRUTH = random_slides(0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def near(truth: np.ndarray, noise: float, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(0, noise, truth.shape)
    return (truth + draw).astype(np.float32)


def commit_model(
    root: Path, model: str, predicted: dict[str, np.ndarray], *, run: str = "1", held_out: str = "ABC", **changes: Any
) -> None:
    """Commit a run for each patient left out."""
    for patient in held_out:
        test = {s: predicted[s] for s, p in SLIDES.items() if p == patient}
        cell = make_cell(patient, model=model, **changes)
        name = "-".join(map(str, ("run", run, model, changes.get("seed"), patient, json.dumps(changes.get("params")))))
        commit_run(root, cell, name, TRUTH, test)


def board(root: Path, metric: str = "pcc") -> dict[str, dict[str, Any]]:
    """Rows of one metric by model."""
    return {row["model"]: row for row in leaderboard(Store(root), discover(), metrics=[metric]).rows}


def test_slides_are_averaged_inside_the_patient_and_the_interval_is_students(root: Path) -> None:
    predicted = {s: near(TRUTH[s], 0.5, i) for i, s in enumerate(SLIDES)}
    commit_model(root, "method", predicted)

    row = board(root)["method"]

    r = {s: slide_pcc(TRUTH[s], predicted[s]) for s in SLIDES}
    patients = [(r["A1"] + r["A2"]) / 2, r["B1"], r["C1"]]
    low, high = stats.t.interval(0.95, df=2, loc=np.mean(patients), scale=stats.sem(patients))
    assert row["value"] == pytest.approx(np.mean(patients))
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert (row["n_units"], row["unit"], row["coverage"]) == (3, "patient", 1.0)


def test_seeds_are_averaged_inside_the_slide_and_add_no_units(root: Path) -> None:
    by_seed = [{s: near(TRUTH[s], 0.5, 10 * seed + i) for i, s in enumerate(SLIDES)} for seed in (0, 1)]
    for seed, predicted in enumerate(by_seed):
        commit_model(root, "method", predicted, seed=seed)

    row = board(root)["method"]

    r = {s: np.mean([slide_pcc(TRUTH[s], predicted[s]) for predicted in by_seed]) for s in SLIDES}
    assert row["value"] == pytest.approx(np.mean([(r["A1"] + r["A2"]) / 2, r["B1"], r["C1"]]))
    assert (row["n_units"], row["n_seeds"], row["coverage"]) == (3, 2, 1.0)


def test_a_seed_more_on_one_slide_does_not_weigh_it_up(root: Path) -> None:
    commit_model(root, "method", {s: near(TRUTH[s], 0.5) for s in SLIDES}, seed=0)
    commit_model(root, "method", {"B1": near(TRUTH["B1"], 2.0)}, seed=1, held_out="B")

    row = board(root)["method"]

    r = {s: slide_pcc(TRUTH[s], near(TRUTH[s], 0.5)) for s in SLIDES}
    r["B1"] = (r["B1"] + slide_pcc(TRUTH["B1"], near(TRUTH["B1"], 2.0))) / 2
    assert row["value"] == pytest.approx(np.mean([(r["A1"] + r["A2"]) / 2, r["B1"], r["C1"]]))


def test_published_section_means_take_the_slide_as_unit(root: Path) -> None:
    predicted = {s: near(TRUTH[s], 0.5, i) for i, s in enumerate(SLIDES)}
    commit_model(root, "method", predicted)

    row = board(root, "pcc_slide")["method"]

    r = [slide_pcc(TRUTH[s], predicted[s]) for s in SLIDES]
    low, high = stats.t.interval(0.95, df=3, loc=np.mean(r), scale=stats.sem(r))
    assert row["value"] == pytest.approx(np.mean(r))
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert (row["n_units"], row["unit"]) == (4, "slide")


def test_one_unit_has_no_interval(root: Path) -> None:
    commit_model(root, "method", TRUTH, held_out="B")

    row = board(root)["method"]

    assert (row["value"], row["ci_low"], row["ci_high"], row["n_units"]) == (pytest.approx(1), None, None, 1)


def test_a_missing_fold_lowers_coverage_and_is_not_imputed(root: Path) -> None:
    commit_model(root, "whole", {s: near(TRUTH[s], 0.5) for s in SLIDES})
    commit_model(root, "partial", TRUTH, held_out="BC")

    rows = board(root)

    assert rows["partial"]["coverage"] == 0.5  # two of four sections
    assert rows["partial"]["value"] == pytest.approx(1)
    assert rows["partial"]["n_units"] == 2
    assert (rows["partial"]["rank"], rows["whole"]["rank"]) == (None, 1)
    assert "incomplete" in rows["partial"]["badges"]
    assert "incomplete" not in rows["whole"]["badges"]


def test_models_that_cover_as_much_but_other_folds_are_not_ranked_together(root: Path) -> None:
    commit_model(root, "first", {s: near(t, 0.5) for s, t in TRUTH.items()}, held_out="AB")
    commit_model(root, "other", {s: near(t, 0.1) for s, t in TRUTH.items()}, held_out="AB")
    commit_model(root, "stray", {s: near(t, 0.1) for s, t in TRUTH.items()}, held_out="BC")

    rows = board(root)

    assert rows["stray"]["rank"] is None
    assert "incomplete" in rows["stray"]["badges"]
    assert {rows["first"]["rank"], rows["other"]["rank"]} == {1, 2}


def test_equal_values_share_a_rank_and_the_next_is_left_out(root: Path) -> None:
    for model, noise in (("best", 0.1), ("twin-a", 0.5), ("twin-b", 0.5), ("worst", 3.0)):
        commit_model(root, model, {s: near(TRUTH[s], noise) for s in SLIDES})

    found = leaderboard(Store(root), discover(), metrics=["pcc"])

    assert [(r["model"], r["rank"]) for r in found.rows] == [("best", 1), ("twin-a", 2), ("twin-b", 2), ("worst", 4)]


def test_values_that_differ_by_rounding_share_a_rank(root: Path) -> None:
    commit_model(root, "scaled", {s: near(TRUTH[s], 0.5) for s in SLIDES})
    commit_model(root, "doubled", {s: 2 * near(TRUTH[s], 0.5) for s in SLIDES})

    assert {row["rank"] for row in board(root).values()} == {1}


def test_the_smaller_error_ranks_first(root: Path) -> None:
    commit_model(root, "near", {s: near(TRUTH[s], 0.1) for s in SLIDES})
    commit_model(root, "far", {s: near(TRUTH[s], 1.0) for s in SLIDES})

    for metric in ("mse", "mae", "rmse"):
        rows = board(root, metric)
        assert rows["near"]["value"] < rows["far"]["value"]
        assert (rows["near"]["rank"], rows["far"]["rank"]) == (1, 2)


def test_every_metric_is_a_row(root: Path) -> None:
    commit_model(root, "method", TRUTH)

    rows = leaderboard(Store(root), discover()).rows

    stored = {r.spec.name for r in discover().all("metric") if r.spec.derived}
    assert {row["metric"] for row in rows} == stored - {"pcc_markers"}  # these genes name no markers


def test_parameter_sets_are_variants_of_their_own(root: Path) -> None:
    for k, noise in ((1, 0.1), (2, 1.0)):
        commit_model(root, "method", {s: near(TRUTH[s], noise) for s in SLIDES}, params={"k": k})

    rows = leaderboard(Store(root), discover(), metrics=["pcc"]).rows

    assert [(row["params"], row["rank"]) for row in rows] == [({"k": 1}, 1), ({"k": 2}, 2)]


def test_runs_on_older_data_are_not_mixed_in(root: Path) -> None:
    commit_model(root, "old-timer", TRUTH, run="1", dataset_revision="r0")
    commit_model(root, "method", {s: near(TRUTH[s], 0.5) for s in SLIDES}, run="2")

    found = leaderboard(Store(root), discover(), metrics=["pcc"])

    assert [row["model"] for row in found.rows] == ["method"]
    assert "3 runs of another revision of the data or the protocol are not shown" in found.notes


def test_runs_of_older_code_are_not_mixed_in(root: Path) -> None:
    commit_model(root, "method", TRUTH, run="1", results_version="1")
    commit_model(root, "method", {s: -TRUTH[s] for s in SLIDES}, run="2", results_version="2", held_out="AB")

    found = leaderboard(Store(root), discover(), metrics=["pcc"])

    assert [(row["value"], row["n_units"]) for row in found.rows] == [(pytest.approx(-1), 2)]
    assert "3 runs of an older version of the model's code are not shown" in found.notes


def test_runs_scored_against_another_truth_of_the_fold_are_not_mixed_in(root: Path) -> None:
    old = make_cell("B", model="old-timer")
    commit_run(root, old, "run-0", TRUTH, {"B1": TRUTH["B1"]}, truth_suffix="-other-panel")
    commit_model(root, "method", TRUTH, run="1")

    found = leaderboard(Store(root), discover(), metrics=["pcc"])

    assert [row["model"] for row in found.rows] == ["method"]
    assert any("another truth of the same fold" in note for note in found.notes)


def test_a_failed_cell_is_a_badge_until_it_is_done(root: Path) -> None:
    commit_model(root, "method", TRUTH, held_out="AB")
    commit_failure(root, make_cell("C", model="method"), "run-0")
    commit_failure(root, make_cell("C", model="method"), "run-00")
    failed = board(root)["method"]["badges"]
    commit_model(root, "method", TRUTH, held_out="C")

    assert failed == ["1 failed"]
    assert board(root)["method"]["badges"] == []


def test_failures_of_older_code_are_forgotten(root: Path) -> None:
    commit_failure(root, make_cell("A", model="method", results_version="1"), "run-0")
    commit_model(root, "method", TRUTH, results_version="2")

    assert board(root)["method"]["badges"] == []


def test_references_are_shown_beside_the_rows_and_never_ranked(root: Path) -> None:
    drawn = {s: near(TRUTH[s], 0.3, i) for i, s in enumerate(SLIDES)}
    for patient in "ABC":
        test = {s: near(TRUTH[s], 1.0) for s, p in SLIDES.items() if p == patient}
        commit_run(root, make_cell(patient), f"run-{patient}", TRUTH, test, reference=drawn)
        commit_run(root, make_cell(patient, model="twin"), f"run-{patient}-twin", TRUTH, test, reference=drawn)

    rows = board(root)
    by_slide = board(root, "pcc_slide")
    other = board(root, "mse")

    r = {s: slide_pcc(TRUTH[s], drawn[s]) for s in SLIDES}
    assert set(rows) == {"method", "twin"}
    assert rows["method"]["references"] == {
        "neighbour-mean": pytest.approx(np.mean([(r["A1"] + r["A2"]) / 2, r["B1"], r["C1"]]))
    }
    assert by_slide["method"]["references"] == {"neighbour-mean": pytest.approx(np.mean(list(r.values())))}
    assert other["method"]["references"] == {}


def test_costs_are_means_and_peaks(root: Path) -> None:
    for patient, seconds, memory in (("B", 1.0, 300.0), ("C", 3.0, 200.0)):
        cost = Cost(seconds={"fit": seconds, "predict": 0.5}, peak_memory_mb=memory, n_parameters=7)
        test = {s: TRUTH[s] for s, p in SLIDES.items() if p == patient}
        commit_run(root, make_cell(patient), f"run-{patient}", TRUTH, test, cost=cost)

    row = board(root)["method"]

    assert (row["fit_seconds"], row["predict_seconds"]) == (2.0, 0.5)
    assert (row["peak_memory_mb"], row["peak_gpu_memory_mb"], row["n_parameters"]) == (300.0, None, 7)


def test_constant_predictions_and_constant_truth_are_counted(root: Path) -> None:
    flat = {s: TRUTH[s].copy() for s in SLIDES}
    for values in flat.values():
        values[:, 0] = 1
    commit_model(root, "method", flat)

    row = board(root)["method"]

    assert (row["n_constant_prediction"], row["n_constant_truth"]) == (4, 0)
    assert row["value"] == pytest.approx(2 / 3)


def test_a_reduction_that_ranks_differently_is_said(root: Path) -> None:
    # one gene of three perfect and two useless, against three that are fair
    mostly_bad = {s: np.column_stack([TRUTH[s][:, :2], -TRUTH[s][:, 2:]]) for s in SLIDES}
    commit_model(root, "uneven", mostly_bad)
    commit_model(root, "fair", {s: near(TRUTH[s], 0.7) for s in SLIDES})

    found = leaderboard(Store(root), discover())

    said = "hand under stbench-v1: pcc_median ranks the models differently from pcc (Kendall's tau -1.00)"
    assert said in found.notes


def test_a_predictor_of_slide_means_is_caught(root: Path) -> None:
    """Pooled over two slides of different level it looks good; inside a slide it says nothing."""
    level = {"A1": 0.0, "A2": 8.0, "B1": 0.0, "C1": 0.0}
    truth = {s: TRUTH[s] + level[s] for s in SLIDES}
    flat = {s: np.broadcast_to(t.mean(0), t.shape).astype(np.float32) for s, t in truth.items()}
    commit_run(root, make_cell("A", model="levels"), "run-A", truth, {s: flat[s] for s in ("A1", "A2")})

    found = leaderboard(Store(root), discover())

    values = {row["metric"]: row["value"] for row in found.rows}
    assert values["pcc_pooled"] > 0.9
    assert values["pcc"] == 0
    assert any("levels has pcc_pooled 0.9" in note and "tells slides apart" in note for note in found.notes)


def test_models_that_cannot_be_told_from_the_best_are_in_its_band(root: Path) -> None:
    for model, noise in (("best", 0.30), ("close", 0.31), ("poor", 4.0)):
        commit_model(root, model, {s: near(TRUTH[s], noise, len(model) + i) for i, s in enumerate(SLIDES)})

    rows = board(root, "mse")

    assert {m: row["tied_with_best"] for m, row in rows.items()} == {"best": True, "close": True, "poor": False}
    assert rows["poor"]["p_holm"] < 0.05


def test_published_numbers_stand_beside_reproduced_ones(root: Path) -> None:
    commit_model(root, "method", TRUTH)
    number = Published(dataset="hand", protocol="stbench-v1", metric="pcc", value=0.9, where="Table 2")
    spec = ModelSpec(name="method", factory="a.b:C", params="a.b:P", published=(number,))
    registry = discover()
    stated = Registry(registry.plugins, {**registry.specs, "model": [Registered(spec, "hand-made", "1")]})

    rows = {row["metric"]: row for row in leaderboard(Store(root), stated).rows}

    assert (rows["pcc"]["published"], rows["pcc"]["published_where"]) == (0.9, "Table 2")
    assert rows["pcc"]["difference"] == pytest.approx(0.1)
    assert rows["mse"]["published"] is None


def test_a_published_number_belongs_to_its_preset(root: Path) -> None:
    for preset in ("", "swapped", "other"):
        commit_model(root, "method", TRUTH, run=preset or "default", params={"p": preset}, preset=preset)
    paper = {"dataset": "hand", "protocol": "stbench-v1", "metric": "pcc"}
    numbers = (
        Published(**paper, value=0.9, where="Table 2"),
        Published(**paper, value=0.8, where="Table 2", preset="swapped"),
        Published(**paper, value=0.7, where="Table 2", method="EGN"),
    )
    spec = ModelSpec(name="method", factory="a.b:C", params="a.b:P", published=numbers)
    registry = discover()
    stated = Registry(registry.plugins, {**registry.specs, "model": [Registered(spec, "hand-made", "1")]})

    found = leaderboard(Store(root), stated, metrics=["pcc"])

    assert {row["preset"]: row["published"] for row in found.rows} == {"": 0.9, "swapped": 0.8, "other": 0.9}
    assert found.elsewhere == [numbers[2]]


def test_a_mean_rank_is_over_tasks_that_all_models_have(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dataset, noises in (("hand", (0.1, 1.0)), ("elsewhere", (0.2, 2.0))):
        for model, noise in zip(("one", "two"), noises, strict=True):
            predicted = {s: near(TRUTH[s], noise) for s in SLIDES}
            commit_model(root, model, predicted, run=dataset, dataset=dataset)

    print_leaderboard(leaderboard(Store(root), discover()), {"stbench-v1": "pcc"}, "markdown")

    printed = capsys.readouterr().out
    assert "mean rank over 2 tasks" in printed
    assert "| one   | 1.00      |" in printed


def test_identical_models_do_not_disagree(root: Path) -> None:
    for model in ("one", "two", "three"):
        commit_model(root, model, {s: near(TRUTH[s], 0.5) for s in SLIDES})

    assert leaderboard(Store(root), discover()).notes == []


def test_filters_leave_other_tasks_out(root: Path) -> None:
    commit_model(root, "method", TRUTH)
    commit_model(root, "method", TRUTH, run="2", dataset="elsewhere")

    def tasks(**chosen: list[str]) -> set[str]:
        return {row["dataset"] for row in leaderboard(Store(root), discover(), **chosen).rows}

    assert tasks() == {"hand", "elsewhere"}
    assert tasks(datasets=["hand"]) == {"hand"}
    assert tasks(protocols=["stbench-blocks-v1"]) == set()


def test_an_empty_store_has_an_empty_board(root: Path) -> None:
    assert leaderboard(Store(root), discover()) == Leaderboard()


def test_a_store_of_damaged_runs_says_so(root: Path) -> None:
    commit_model(root, "method", TRUTH, held_out="B")
    next(root.rglob("moments.parquet")).write_bytes(b"")

    found = leaderboard(Store(root), discover())

    assert found.rows == []
    assert any("moments.parquet is damaged; the run was left out" in note for note in found.notes)


def test_the_table_names_what_tells_variants_apart(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in (1, 2):
        commit_model(root, "method", {s: near(TRUTH[s], k) for s in SLIDES}, params={"k": k, "same": 0})

    print_leaderboard(leaderboard(Store(root), discover()), {"stbench-v1": "pcc"}, "markdown")

    printed = capsys.readouterr().out
    assert "| method k=1 " in printed
    assert "| method k=2 " in printed
    assert "same" not in printed
    assert "reference lines (pcc, computed from the truth, not ranked): neighbour-mean 1.000" in printed


def test_json_of_the_board_is_a_list_of_objects(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit_model(root, "method", TRUTH)

    print_leaderboard(leaderboard(Store(root), discover()), {}, "json")

    rows = json.loads(capsys.readouterr().out)
    assert all(isinstance(row, dict) for row in rows)
    assert {row["model"] for row in rows} == {"method"}
