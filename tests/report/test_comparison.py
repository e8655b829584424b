"""Comparing two models of a store over the units they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import SLIDES, commit_run, make_cell, random_slides
from scipy import stats

from stbench.errors import UsageError
from stbench.registry import discover
from stbench.report.comparison import Choice, Comparison, compare
from stbench.report.scores import read_scores
from stbench.store import Store

TRUTH = random_slides(0, shape=(40, 6))


def mixed(r: float, seed: int) -> dict[str, np.ndarray]:
    """Predictions whose correlation with the truth is near `r`."""
    rng = np.random.default_rng(seed)
    return {s: (r * t + np.sqrt(1 - r**2) * rng.normal(size=t.shape)).astype(np.float32) for s, t in TRUTH.items()}


def commit(root: Path, model: str, predicted: dict[str, np.ndarray], held_out: str = "ABC", **changes: Any) -> None:
    for patient in held_out:
        test = {s: predicted[s] for s, p in SLIDES.items() if p == patient}
        cell = make_cell(patient, model=model, **changes)
        commit_run(root, cell, f"run-{model}-{patient}-{'-'.join(map(str, changes.values()))}", TRUTH, test)


def compared(root: Path, first: str, second: str, metric: str = "pcc", **params: Any) -> Comparison:
    scores = read_scores(Store(root), discover())
    (found,) = compare(scores, Choice(first, params), Choice(second, {}), metric, {})
    return found


def test_units_are_paired(tmp_path: Path) -> None:
    commit(tmp_path, "good", mixed(0.9, 1))
    commit(tmp_path, "poor", mixed(0.1, 2))

    found = compared(tmp_path, "good", "poor")

    assert list(found.units) == ["A", "B", "C"]
    a, b = zip(*found.units.values(), strict=True)
    assert found.paired.p_t == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert (found.paired.verdict, found.better) == ("different", "first")
    assert found.sentence("good", "poor").startswith("good is better by 0.")
    assert found.p_holm == found.paired.p_t


def test_what_the_data_cannot_resolve_is_said_with_what_they_could(tmp_path: Path) -> None:
    commit(tmp_path, "one", mixed(0.5, 1))
    commit(tmp_path, "two", mixed(0.5, 2))

    found = compared(tmp_path, "one", "two")

    assert found.paired.verdict == "not resolved"
    sentence = found.sentence("one", "two")
    assert sentence.startswith("these data cannot resolve it")
    assert f"they show differences from about {found.paired.resolvable:.2g}" in sentence


def test_of_an_error_the_smaller_is_better(tmp_path: Path) -> None:
    commit(tmp_path, "good", mixed(0.95, 1))
    commit(tmp_path, "poor", mixed(0.1, 2))

    assert compared(tmp_path, "good", "poor", "mse").better == "first"


def test_units_of_one_model_only_are_left_out_and_named(tmp_path: Path) -> None:
    commit(tmp_path, "whole", mixed(0.9, 1))
    commit(tmp_path, "partial", mixed(0.1, 2), held_out="AB")

    found = compared(tmp_path, "whole", "partial")

    assert list(found.units) == ["A", "B"]
    assert (found.only_first, found.only_second) == (("C",), ())


def test_a_variant_has_to_be_named(tmp_path: Path) -> None:
    for k in (1, 2):
        commit(tmp_path, "model", mixed(0.3 * k, k), params={"k": k, "same": 0})
    commit(tmp_path, "other", mixed(0.1, 5))

    with pytest.raises(UsageError, match=r"model has several variants \(k differ\); name one, as in 'model\[k=…\]'"):
        compared(tmp_path, "model", "other")
    assert compared(tmp_path, "model", "other", k=2).first > compared(tmp_path, "model", "other", k=1).first


def test_precisions_are_variants_and_can_be_named(tmp_path: Path) -> None:
    for precision, r in (("float32", 0.6), ("bf16-mixed", 0.3)):
        commit(tmp_path, "model", mixed(r, 1), precision=precision)

    with pytest.raises(UsageError, match=r"\(precision differ\); name one, as in 'model\[precision=…\]'"):
        compared(tmp_path, "model", "model")
    scores = read_scores(Store(tmp_path), discover())
    exact, mixed_ = (Choice("model", {"precision": name}) for name in ("float32", "bf16-mixed"))
    (found,) = compare(scores, exact, mixed_, "pcc", {})
    assert found.first > found.second + 0.2


def test_unknown_models_and_no_common_units_are_explained(tmp_path: Path) -> None:
    commit(tmp_path, "one", mixed(0.5, 1), held_out="A")
    commit(tmp_path, "two", mixed(0.5, 1), held_out="B")

    with pytest.raises(UsageError, match="no finished run of model 'three' here; there are runs of: one, two"):
        compared(tmp_path, "one", "three")
    with pytest.raises(UsageError, match="share no test unit on hand under stbench-v1"):
        compared(tmp_path, "one", "two")


def test_several_tasks_are_adjusted_together(tmp_path: Path) -> None:
    for dataset in ("elsewhere", "hand"):
        for model, r in (("good", 0.6), ("poor", 0.2)):
            predicted = mixed(r, len(dataset + model))
            for patient in "ABC":
                test = {s: predicted[s] for s, p in SLIDES.items() if p == patient}
                cell = make_cell(patient, model=model, dataset=dataset)
                commit_run(tmp_path, cell, f"{dataset}-{model}-{patient}", TRUTH, test)

    found = compare(read_scores(Store(tmp_path), discover()), Choice("good", {}), Choice("poor", {}), "pcc", {})

    assert [c.dataset for c in found] == ["elsewhere", "hand"]
    smallest = min(c.paired.p_t for c in found if c.paired.p_t is not None)
    assert min(c.p_holm for c in found if c.p_holm is not None) == pytest.approx(2 * smallest)
