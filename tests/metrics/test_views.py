"""THE numbers of the leaderboard: what SQL makes of the stored moments is what the plain definitions say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from handmade import commit_run, make_cell, random_slides
from scipy.stats import pearsonr

from stbench.matrix import Cell
from stbench.metrics import derived
from stbench.protocols import Fold, Part
from stbench.registry import discover
from stbench.stats import Moments, gene_moments
from stbench.store import Layout, RunRecord, RunWriter, Store, schema
from stbench.store.record import TestSlide
from stbench.store.writer import moments_table

DERIVED = {r.spec.name: r.spec for r in discover().all("metric") if r.spec.derived and r.distribution == "stbench"}
PER_SLIDE = {name: spec.load() for name, spec in DERIVED.items() if not spec.pooled}
POOLED = {name: spec.load() for name, spec in DERIVED.items() if spec.pooled}
SIZES = {"A1": 23, "B1": 71}
N_GENES = 14
GENES = [f"G{i}" for i in range(N_GENES)]


@dataclass(frozen=True)
class Scored:
    """A slide's truth, prediction and what was measured, (spots, genes)."""

    truth: np.ndarray
    prediction: np.ndarray
    measured: np.ndarray

    @property
    def moments(self) -> Moments:
        return gene_moments(self.truth, self.prediction, self.measured)


def ordinary(seed: int) -> dict[str, Scored]:
    """Two slides whose truths and predictions are shifted in opposite directions."""
    rng = np.random.default_rng(seed)
    slides = {}
    for (name, n), offset in zip(SIZES.items(), (-2.0, 2.0), strict=True):
        truth = rng.normal(offset, 1, (n, N_GENES)).astype(np.float32)
        prediction = (rng.uniform(-0.5, 1.5, N_GENES) * truth + rng.normal(-2 * offset, 1, truth.shape)).astype(
            np.float32
        )
        slides[name] = Scored(truth, prediction, np.ones(truth.shape, bool))
    return slides


def odd(seed: int) -> dict[str, Scored]:
    """The same with everything that may go wrong in some gene of some slide."""
    slides = ordinary(seed)
    for name, s in slides.items():
        s.truth[:, 0] = 3.3  # constant truth, alike in both slides
        s.truth[:, 1] = len(name) + s.truth[0, 1]  # constant in each slide, another value in each
        s.prediction[:, 2] = np.float32(0.1)  # constant prediction
        s.prediction[:, 3] = np.float32(0.1) * len(s.truth)
        s.truth[:, 4] = s.prediction[:, 4] = np.float32(1.7)  # both constant
        s.prediction[:, 5] = s.truth[:, 5]  # perfect
        s.prediction[:, 6] = -s.truth[:, 6]
    first, second = slides["A1"], slides["B1"]
    first.measured[:, 7] = False  # not measured in one slide
    first.measured[:, 8] = second.measured[:, 8] = False  # nowhere
    first.measured[1:, 9] = False  # once
    first.measured[2:, 10] = False
    first.measured[:, 11] = np.arange(len(first.truth)) % 3 > 0
    second.measured[1:, 12] = False
    first.measured[1:, 12] = False  # once in each slide
    return slides


def undefined(seed: int) -> dict[str, Scored]:
    """No gene's truth varies."""
    return {name: Scored(np.zeros_like(s.truth), s.prediction, s.measured) for name, s in ordinary(seed).items()}


def mean_predictor(seed: int) -> dict[str, Scored]:
    """Every spot of both slides gets the same float32 value per gene."""
    mean = np.random.default_rng(seed).lognormal(0, 2, N_GENES).astype(np.float32)
    return {n: Scored(s.truth, np.tile(mean, (len(s.truth), 1)), s.measured) for n, s in ordinary(seed).items()}


def rounding_noise(seed: int) -> dict[str, Scored]:
    """A constant per gene that differs between the slides by the last bit of float32."""
    slides = mean_predictor(seed)
    slides["B1"].prediction[:] = np.nextafter(slides["B1"].prediction, np.float32(np.inf))
    return slides


CASES = {
    f"{make.__name__}-{seed}": make(seed)
    for seed in range(4)
    for make in (ordinary, odd, undefined, mean_predictor, rounding_noise)
}


def marks(case: str) -> Mapping[str, np.ndarray]:
    rng = np.random.default_rng(len(case))
    return {"hvg50": rng.random(N_GENES) < 0.5, "heg50": rng.random(N_GENES) < 0.3, "marker": rng.random(N_GENES) < 0.4}


def commit(root: Path, case: str, slides: Mapping[str, Scored], run_id: str = "") -> RunRecord:
    """One finished run in the store, as a worker leaves it."""
    run_id = run_id or f"run-{case}"
    patients = {name: name[0] for name in slides}
    cell = Cell(
        dataset="toy",
        dataset_revision="0",
        dataset_distribution="toy",
        protocol="p",
        protocol_version="1",
        protocol_distribution="toy",
        fold=Fold("A", (Part("C1"),), (), tuple(Part(name) for name in slides)),
        model=case,
        model_distribution="toy",
        results_version="1",
        params={},
        params_by_content={},
        seed=0,
        patients=patients,
        complete_parts=len(slides),
    )
    writer = RunWriter(Layout(root).create(), run_id)
    constants = {"run_id": run_id, "split": "test"}
    tables = [
        moments_table(schema.MOMENTS, constants | {"slide": name}, GENES, scored.moments, marks(case))
        for name, scored in slides.items()
    ]
    import pyarrow as pa

    writer.write("moments", pa.concat_tables(tables))
    record = RunRecord(
        run_id=run_id,
        cell_key=cell.key,
        status="ok",
        cell=cell,
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:00:01Z",
        test=[
            TestSlide(slide=name, patient=patients[name], truth_key="t", n_spots=len(s.truth))
            for name, s in slides.items()
        ],
    )
    writer.commit(record)
    return record


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("store") / "store"
    for case, slides in CASES.items():
        commit(root, case, slides)
    return Store(root)


@pytest.fixture(scope="module")
def slide_scores(store: Store) -> dict[tuple[str, str, str], float | None]:
    rows = store.query("SELECT model, slide, metric, value FROM slide_scores").to_pylist()
    return {(r["model"], r["slide"], r["metric"]): r["value"] for r in rows}


@pytest.fixture(scope="module")
def fold_scores(store: Store) -> dict[tuple[str, str], float | None]:
    rows = store.query("SELECT model, metric, value FROM fold_scores").to_pylist()
    return {(r["model"], r["metric"]): r["value"] for r in rows}


def assert_same(found: float | None, expected: float | None) -> None:
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_every_derived_metric_is_a_column_of_the_views_and_the_other_way_round(
    slide_scores: Mapping, fold_scores: Mapping
) -> None:
    assert {metric for _, _, metric in slide_scores} == set(PER_SLIDE)
    assert {metric for _, metric in fold_scores} == set(POOLED)
    assert set(DERIVED) >= {"pcc", "pcc_pooled", "pcc_q1", "pcc_median", "r2", "mse", "mae", "rmse"}


@pytest.mark.parametrize("metric", PER_SLIDE)
def test_per_slide(metric: str, slide_scores: Mapping) -> None:
    for case, slides in CASES.items():
        for name, scored in slides.items():
            assert_same(slide_scores[case, name, metric], PER_SLIDE[metric](scored.moments, marks(case)))


@pytest.mark.parametrize("metric", POOLED)
def test_pooled(metric: str, fold_scores: Mapping) -> None:
    for case, slides in CASES.items():
        merged = slides["A1"].moments.merge(slides["B1"].moments)
        assert_same(fold_scores[case, metric], POOLED[metric](merged, marks(case)))


def test_pooled_is_pearson_over_all_spots_of_both_slides(slide_scores: Mapping, fold_scores: Mapping) -> None:
    slides = CASES["ordinary-0"]
    truth, prediction = (
        np.concatenate([getattr(s, what) for s in slides.values()]) for what in ("truth", "prediction")
    )
    direct = [pearsonr(truth[:, g].astype(float), prediction[:, g].astype(float))[0] for g in range(N_GENES)]

    assert fold_scores["ordinary-0", "pcc_pooled"] == pytest.approx(np.mean(direct), abs=1e-9)
    inside = [slide_scores["ordinary-0", name, "pcc"] for name in slides]
    assert np.mean(inside) > 0.2 > -0.2 > np.mean(direct)  # opposite offsets: two scopes, two answers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("predictor", ["mean_predictor", "rounding_noise"])
def test_the_mean_predictor_scores_exactly_nothing(
    predictor: str, seed: int, slide_scores: Mapping, fold_scores: Mapping
) -> None:
    case = f"{predictor}-{seed}"

    assert fold_scores[case, "pcc_pooled"] == 0.0
    for name in SIZES:
        assert slide_scores[case, name, "pcc"] == 0.0
        assert slide_scores[case, name, "n_pcc_above_0.3"] == 0.0
        assert slide_scores[case, name, "r2"] < 0  # not clipped: worse than each slide's own mean


def test_where_no_truth_varies_there_is_no_score(slide_scores: Mapping, fold_scores: Mapping) -> None:
    for metric in ("pcc", "pcc_q1", "pcc_median", "pcc_hvg50", "n_pcc_above_0.3", "r2"):
        assert slide_scores["undefined-0", "A1", metric] is None
    assert slide_scores["undefined-0", "A1", "mse"] > 0
    assert fold_scores["undefined-0", "pcc_pooled"] is None


def test_reasons_per_gene(store: Store) -> None:
    rows = store.query(
        "SELECT slide, gene, pcc, r2, undefined_reason AS reason FROM gene_scores WHERE model = 'odd-0'"
    ).to_pylist()
    reason = {(r["slide"], r["gene"]): r["reason"] for r in rows}
    value = {(r["slide"], r["gene"]): r["pcc"] for r in rows}

    assert [reason["A1", g] for g in GENES] == [
        "constant_truth",
        "constant_truth",
        "constant_prediction",
        "constant_prediction",
        "constant_truth",
        *(None, None),
        *("too_few",) * 3,
        *(None, None),
        "too_few",
        None,
    ]
    assert value["A1", "G5"] == pytest.approx(1.0)
    assert value["A1", "G6"] == pytest.approx(-1.0)
    assert {value[key] for key, why in reason.items() if why == "constant_prediction"} == {0.0}
    assert {value[key] for key, why in reason.items() if why in ("constant_truth", "too_few")} == {None}
    assert abs(value["A1", "G10"]) == pytest.approx(1.0)  # two spots


def test_only_the_newest_run_of_a_cell_counts(tmp_path: Path) -> None:
    older, newer = CASES["ordinary-0"], CASES["ordinary-1"]
    commit(tmp_path / "s", "same-cell", newer, run_id="run-2")
    commit(tmp_path / "s", "same-cell", older, run_id="run-1")

    store = Store(tmp_path / "s")

    assert store.query("SELECT count(*) AS n FROM runs").to_pylist() == [{"n": 2}]
    (row,) = store.query("SELECT run_id, value FROM slide_scores WHERE slide = 'A1' AND metric = 'pcc'").to_pylist()
    assert row["run_id"] == "run-2"
    assert row["value"] == pytest.approx(derived.pcc(newer["A1"].moments, marks("same-cell")))


def test_sepals_forms_over_all_entries_of_both_slides(fold_scores: Mapping) -> None:
    slides = CASES["odd-2"].values()
    truth, prediction, measured = (
        np.concatenate([getattr(s, what) for s in slides]) for what in ("truth", "prediction", "measured")
    )
    error = (truth.astype(float) - prediction)[measured]
    r2 = []
    for g in range(N_GENES):
        y, p = (a[measured[:, g], g].astype(float) for a in (truth, prediction))
        if len(y) >= 2 and np.ptp(y) > 0:
            r2.append(1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum())

    assert fold_scores["odd-2", "mse_pooled"] == pytest.approx((error**2).mean(), rel=1e-9)
    assert fold_scores["odd-2", "mae_pooled"] == pytest.approx(np.abs(error).mean(), rel=1e-9)
    assert fold_scores["odd-2", "r2_pooled"] == pytest.approx(np.mean(r2), rel=1e-9)


def test_the_top_50_of_the_test_among_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = {"B1": (rng.normal(0, 1, (30, 80)) * (1 + np.arange(80) // 4) + rng.normal(0, 9, 80)).astype(np.float32)}
    truth["B1"][:, 10:50] = truth["B1"][:, 9:10]  # ties at the 50th place
    predicted = {"B1": (truth["B1"] + rng.normal(0, 9, (30, 80))).astype(np.float32)}
    commit_run(tmp_path / "store", make_cell("B"), "run-1", truth, predicted)

    rows = Store(tmp_path / "store").query("SELECT metric, value FROM slide_scores").to_pylist()
    found = {row["metric"]: row["value"] for row in rows}

    m = gene_moments(truth["B1"], predicted["B1"], np.ones((30, 80), bool))
    for metric in ("pcc_hvg50_test", "pcc_heg50_test"):
        assert found[metric] == pytest.approx(getattr(derived, metric)(m, {}), rel=1e-9)
        assert found[metric] != pytest.approx(found["pcc"], abs=1e-3)
    assert "pcc_markers" not in found  # no protocol marked any


def slow_gene_scores(scored: Scored) -> Iterator[dict[str, float]]:
    """Slow reference for one slide: gene by gene from the spots themselves."""
    for gene in range(N_GENES):
        kept = scored.measured[:, gene]
        y, p = (a[kept, gene].astype(float) for a in (scored.truth, scored.prediction))
        row = {}
        if len(y):
            row |= {"mse": ((y - p) ** 2).mean(), "mae": np.abs(y - p).mean(), "rmse": np.sqrt(((y - p) ** 2).mean())}
        if len(y) >= 2 and np.ptp(y) > 0:
            row["pcc"] = pearsonr(y, p)[0] if np.ptp(p) > 0 else 0.0
            row["r2"] = 1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        yield row


@pytest.mark.parametrize("case", ["ordinary-1", "odd-1", "mean_predictor-1"])
def test_against_the_spots_themselves(case: str, slide_scores: Mapping) -> None:
    for name, scored in CASES[case].items():
        rows = list(slow_gene_scores(scored))
        for metric in ("pcc", "r2", "mse", "mae", "rmse"):
            expected = np.mean([row[metric] for row in rows if metric in row])
            assert slide_scores[case, name, metric] == pytest.approx(expected, rel=1e-9, abs=1e-9), metric
        correlations = [row["pcc"] for row in rows if "pcc" in row]
        assert slide_scores[case, name, "pcc_q1"] == pytest.approx(np.quantile(correlations, 0.25), abs=1e-9)
        assert slide_scores[case, name, "n_pcc_above_0.3"] == sum(r > 0.3 for r in correlations)


def test_a_plugin_metrics_constant_predictions_count_as_zero(tmp_path: Path) -> None:
    values = random_slides(1)
    reasons = (("G1", 0.6, None), ("G2", None, "constant_prediction"), ("G3", None, "constant_truth"))
    rows = [
        {"slide": "B1", "metric": "rank", "gene": gene, "value": value, "undefined_reason": reason}
        for gene, value, reason in reasons
    ]
    commit_run(tmp_path / "store", make_cell("B"), "run-1", values, {"B1": values["B1"]}, metrics=rows)

    (scored,) = Store(tmp_path / "store").query("SELECT value FROM slide_scores WHERE metric = 'rank'").to_pylist()

    assert scored["value"] == pytest.approx(0.3)
