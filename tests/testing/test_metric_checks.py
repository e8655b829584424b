"""Every check of metrics is failed by a metric with the fault it names, and by no other fault."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, r2_score

from stbench.metrics import Scores, Undefined
from stbench.registry import MetricSpec
from stbench.testing import check_metric, metric_checks
from stbench.testing.report import ConformanceError

FIELDS: dict[str, Any] = {"level": "gene", "direction": "min", "value_range": (0.0, None)}


def spec(function: Callable[..., object], **fields: Any) -> MetricSpec:
    name = function.__name__.replace("_", "-")
    return MetricSpec(name=name, factory=f"{__name__}:{function.__name__}", **{**FIELDS, **fields})


def failing(subject: Any, **options: Any) -> dict[str, str]:
    outcomes = [check.outcome() for check in metric_checks(subject, **options)]
    return {o.id: o.message for o in outcomes if o.status == "failed"}


def scores(values: np.ndarray, n: np.ndarray) -> Scores:
    """Values with a reason where there are no entries."""
    return Scores(np.where(n > 0, values, 0.0), n, tuple(None if k else Undefined.TOO_FEW for k in n))


def squared(truth, prediction, measured, weight=1.0) -> np.ndarray:
    return np.where(measured, weight * (truth.astype(float) - prediction) ** 2, 0)


def gene_mse(truth, prediction, measured, slide) -> Scores:
    n = measured.sum(0)
    return scores(squared(truth, prediction, measured).sum(0) / np.maximum(n, 1), n)


def spot_mse(truth, prediction, measured, slide) -> Scores:
    n = measured.sum(1)
    return scores(squared(truth, prediction, measured).sum(1) / np.maximum(n, 1), n)


def slide_mse(truth, prediction, measured, slide) -> Scores:
    n = np.array([measured.sum()])
    return scores(squared(truth, prediction, measured).sum() / np.maximum(n, 1), n)


@pytest.mark.parametrize(("function", "level"), [(gene_mse, "gene"), (spot_mse, "spot"), (slide_mse, "slide")])
def test_a_good_metric_passes(function: Callable[..., Scores], level: str) -> None:
    report = check_metric(spec(function, level=level))

    assert {o.id: o.status for o in report.outcomes if o.status != "passed"} == {"agrees_with_reference": "skipped"}


def an_array(truth, prediction, measured, slide):
    return gene_mse(truth, prediction, measured, slide).values


def words_for_reasons(truth, prediction, measured, slide):
    found = gene_mse(truth, prediction, measured, slide)
    return Scores(found.values, found.n_obs, tuple("no idea" for _ in found.values))


def fractions_of_entries(truth, prediction, measured, slide):
    found = gene_mse(truth, prediction, measured, slide)
    return Scores(found.values, found.n_obs / 2, found.reasons)


def vector_of_moments(m, marks):
    return m.sum_abs


calls = itertools.count()


def counts_its_calls(truth, prediction, measured, slide):
    found = gene_mse(truth, prediction, measured, slide)
    return Scores(found.values + 1e-3 * next(calls), found.n_obs, found.reasons)


def later_spots_weigh_more(truth, prediction, measured, slide):
    weight = np.arange(len(truth))[:, None]
    n = measured.sum(0)
    return scores(squared(truth, prediction, measured, weight).sum(0) / np.maximum(n, 1), n)


def later_genes_weigh_more(truth, prediction, measured, slide):
    weight = np.arange(truth.shape[1])
    n = np.array([measured.sum()])
    return scores(squared(truth, prediction, measured, weight).sum() / np.maximum(n, 1), n)


def unguarded_correlation(truth, prediction, measured, slide):
    n = measured.sum(0)
    pairs = [(truth[m, g], prediction[m, g]) for g, m in enumerate(measured.T)]
    with np.errstate(all="ignore"):
        r = np.array([np.corrcoef(*pair)[0, 1] if len(pair[0]) > 1 else 0.0 for pair in pairs])
    return Scores(r, n, tuple(None if k > 1 else Undefined.TOO_FEW for k in n))


def correlates_rounding(truth, prediction, measured, slide):
    n = measured.sum(0)
    y, p = (np.where(measured, v, 0) for v in (truth, prediction))
    y, p = ((v - v.sum(0) / np.maximum(n, 1).astype(np.float32)) * measured for v in (y, p))  # float32
    scale = np.sqrt((y**2).sum(0) * (p**2).sum(0))
    r = np.divide((y * p).sum(0), scale, out=np.zeros_like(scale), where=scale > 0)
    reasons = [
        Undefined.TOO_FEW if k < 2 else None if s else Undefined.CONSTANT_TRUTH for k, s in zip(n, scale, strict=True)
    ]
    return Scores(r.astype(float), n, tuple(reasons))


def rewards_constants(truth, prediction, measured, slide):
    found = gene_mse(truth, prediction, measured, slide)
    return Scores(found.values - 1e3 * (prediction.std(0) < 1e-6), found.n_obs, found.reasons)


def divides_by_nothing(truth, prediction, measured, slide):
    n = measured.sum(0)
    with np.errstate(all="ignore"):
        return Scores(squared(truth, prediction, measured).sum(0) / n, n, (None,) * len(n))


def derived_from_nothing(m, marks):
    with np.errstate(all="ignore"):
        return float(np.mean(m.sum_abs / m.n))


def ignores_the_mask(truth, prediction, measured, slide):
    return gene_mse(truth, prediction, np.ones_like(measured), slide)


def counts_every_entry(truth, prediction, measured, slide):
    found = gene_mse(truth, prediction, measured, slide)
    return Scores(found.values, np.full_like(found.n_obs, len(truth)), found.reasons)


def fills_in(truth, prediction, measured, slide):
    prediction[~measured] = truth[~measured] = 7
    return gene_mse(truth, prediction, measured, slide)


def leaves_a_note(truth, prediction, measured, slide):
    slide.adata.uns["note"] = 1
    return gene_mse(truth, prediction, measured, slide)


def seeds_numpy(truth, prediction, measured, slide):
    np.random.seed(0)
    return gene_mse(truth, prediction, measured, slide)


def silences_numpy(truth, prediction, measured, slide):
    np.seterr(all="ignore")
    return gene_mse(truth, prediction, measured, slide)


def asks_the_network(truth, prediction, measured, slide):
    with suppress(OSError):
        socket.getaddrinfo("example.org", 443)
    return gene_mse(truth, prediction, measured, slide)


def writes_a_file(truth, prediction, measured, slide):
    Path(__file__).with_name("left-by-a-metric.txt").write_text("")
    return gene_mse(truth, prediction, measured, slide)


@pytest.fixture
def as_it_was() -> Iterator[None]:
    settings = np.geterr()
    yield
    np.seterr(**settings)
    Path(__file__).with_name("left-by-a-metric.txt").unlink(missing_ok=True)


@pytest.mark.usefixtures("as_it_was")
@pytest.mark.parametrize(
    ("function", "fields", "check", "sentence"),
    [
        (an_array, {}, "shape_and_range", "it returns ndarray; return stbench.metrics.Scores"),
        (gene_mse, {"level": "spot"}, "shape_and_range", "shapes (12,), (12,), (12,); level spot needs (40,) of each"),
        (gene_mse, {"value_range": (0.0, 0.01)}, "shape_and_range", "outside its range (0.0, 0.01)"),
        (words_for_reasons, {}, "shape_and_range", "a reason is 'no idea'; give one of stbench.metrics.Undefined"),
        (fractions_of_entries, {}, "shape_and_range", "n_obs are not counts"),
        (vector_of_moments, {"derived": True}, "shape_and_range", "a derived metric returns a float, or None"),
        (counts_its_calls, {}, "repeatable", "the second time; draw from a generator with a fixed seed"),
        (gene_mse, {"direction": "max"}, "perfect_is_optimal", "is direction max right?"),
        (gene_mse, {"value_range": (-1.0, None)}, "perfect_is_optimal", "1 away from the best of the range, -1"),
        (later_spots_weigh_more, {}, "order_of_spots", "the values depend on the order of the spots"),
        (later_genes_weigh_more, {"level": "slide"}, "order_of_genes", "the values depend on the order of the genes"),
        (
            unguarded_correlation,
            {"direction": "max", "value_range": (-1.0, 1.0)},
            "constants",
            "a value is nan without a reason",
        ),
        (
            correlates_rounding,
            {"direction": "max", "value_range": (-1.0, 1.0)},
            "constants",
            "noise is taken for signal",
        ),
        (
            rewards_constants,
            {"value_range": (None, None)},
            "constants",
            "better than a perfect one's 0",
        ),
        (divides_by_nothing, {}, "little_measured", "never measured a value is nan without a reason"),
        (derived_from_nothing, {"derived": True}, "little_measured", "never measured a value is nan without a reason"),
        (ignores_the_mask, {}, "measured_respected", "leave out where `measured` is False"),
        (counts_every_entry, {}, "measured_respected", "n_obs counts entries that were not measured"),
        (fills_in, {}, "inputs_untouched", "it modified truth, prediction; work on a copy"),
        (leaves_a_note, {}, "inputs_untouched", 'it modified uns["note"] of the slide'),
        (seeds_numpy, {}, "global_state", "left changed: numpy's global random generator"),
        (silences_numpy, {}, "global_state", "left changed: numpy's floating-point error handling"),
        (asks_the_network, {}, "global_state", "asked the network for example.org"),
        (writes_a_file, {}, "global_state", "left-by-a-metric.txt; a metric returns its values"),
    ],
)
def test_a_fault_fails_the_check_that_names_it_and_no_other(
    function: Callable[..., object], fields: dict[str, Any], check: str, sentence: str
) -> None:
    failed = failing(spec(function, **fields))

    assert list(failed) == [check]
    assert sentence in failed[check]


def slow_pcc(truth, prediction) -> float:
    return float(np.mean([pearsonr(t.astype(float), p)[0] for t, p in zip(truth.T, prediction.T, strict=True)]))


def slow_pcc_of_marked(truth, prediction, measured, marks) -> float:
    return slow_pcc(truth[:, marks["hvg50"]], prediction[:, marks["hvg50"]])


def slow_pcc_spot(truth, prediction) -> list[float]:
    return [pearsonr(t.astype(float), p)[0] for t, p in zip(truth, prediction, strict=True)]


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("pcc", slow_pcc),
        ("pcc_hvg50", slow_pcc_of_marked),
        ("pcc_spot", slow_pcc_spot),
        ("r2", lambda truth, prediction: r2_score(truth, prediction)),  # the function itself has options
        ("mae", lambda truth, prediction: mean_absolute_error(truth, prediction)),
    ],
)
def test_built_in_metrics_agree_with_slow_definitions(name: str, reference: Callable[..., Any]) -> None:
    report = check_metric(name, reference=reference)

    assert {o.status for o in report.outcomes} == {"passed"}


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        (lambda truth, prediction: np.abs(truth - prediction).mean(0), "the values differ from the reference's"),
        (lambda truth, prediction: ((truth - prediction) ** 2).mean(), "the reference gives 1 values, the metric 12"),
        (lambda truth, prediction: np.full(truth.shape[1], np.nan), "the values differ from the reference's (by inf)"),
    ],
)
def test_another_definition_is_told_apart(reference: Callable[..., Any], sentence: str) -> None:
    failed = failing(spec(gene_mse), reference=reference)

    assert list(failed) == ["agrees_with_reference"]
    assert sentence in failed["agrees_with_reference"]


def test_a_reference_may_have_the_signature_of_the_metric() -> None:
    assert failing(spec(gene_mse), reference=gene_mse) == {}


def test_what_needs_repeatable_values_is_blocked_without_them() -> None:
    outcomes = {c.id: c.outcome() for c in metric_checks(spec(counts_its_calls))}

    assert outcomes["order_of_spots"].status == "blocked"
    assert outcomes["order_of_spots"].message == "needs repeatable, which did not pass"


def test_a_failing_metric_raises_with_its_checks_listed() -> None:
    with pytest.raises(ConformanceError, match=r"metric ignores-the-mask fails 1 of 11 checks\n  measured_respected: "):
        check_metric(spec(ignores_the_mask))
    report = check_metric(spec(ignores_the_mask), xfail={"measured_respected": "everything is measured here"})
    assert report.verdict == "conformant"
