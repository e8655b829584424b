"""A model trained on one data set and tested on another: genes of both, nobody in both, traced like any run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stbench.datasets import DatasetContext
from stbench.datasets.transfer import Transfer
from stbench.datasets.transfer import tested_on as name_of_tested
from stbench.datasets.transfer import trained_on as name_of_trained
from stbench.errors import DataError, NotApplicable
from stbench.execution import RunOptions, run_cell
from stbench.execution.reproduce.again import refuse_if_impossible
from stbench.matrix import ModelRequest, Plan, Request, plan
from stbench.registry import Registry
from stbench.slides import Slide
from stbench.store import Store


@pytest.fixture
def context(cache_dir: Path) -> DatasetContext:
    return DatasetContext(cache_dir)


def opened(registry: Registry, context: DatasetContext, train: str = "toy", test: str = "toy-others") -> Transfer:
    return Transfer(*(registry.get("dataset", name).spec.open(context) for name in (train, test)))


def planned(registry: Registry, context: DatasetContext, **request: Any) -> Plan:
    asked: dict[str, Any] = {"datasets": ("toy",), "protocols": ("stbench-v1",), "test_on": "toy-others"} | request
    return plan([Request((ModelRequest("toy-good"),), **asked)], registry, context)


def test_slides_have_the_genes_that_both_measured(registry: Registry, context: DatasetContext) -> None:
    both = opened(registry, context)

    assert [info.id for info in both.slides()] == ["P1-S1", "P2-S1", "P3-S1", "P4-S1", "P5-S1"]
    assert both.train.load("P1-S1").adata.n_vars == 15
    assert [both.load(name).adata.n_vars for name in ("P1-S1", "P5-S1")] == [12, 12]


def test_what_is_in_both_is_refused(registry: Registry, context: DatasetContext) -> None:
    with pytest.raises(DataError, match=r"toy and toy-single share slides \(P1-S1\)"):
        opened(registry, context, test="toy-single").slides()


def test_data_without_a_gene_in_common_are_refused(registry: Registry, context: DatasetContext) -> None:
    both = opened(registry, context)
    load = both.test.load

    def renamed(slide_id: str) -> Slide:
        slide = load(slide_id)
        slide.adata.var_names = "mouse-" + slide.adata.var_names
        return slide

    both.test.load, both.test.revision = renamed, "other"  # type: ignore[method-assign]
    with pytest.raises(DataError, match="toy and toy-others have no gene in common"):
        both.load("P5-S1")


def test_there_is_one_fold_and_its_key_tells_the_two_apart(registry: Registry, context: DatasetContext) -> None:
    (cell,) = planned(registry, context).cells

    assert (cell.dataset, cell.fold.id) == ("toy_on_toy-others", "toy-others")
    assert (name_of_trained(cell.dataset), name_of_tested(cell.dataset)) == ("toy", "toy-others")
    assert [part.slide for part in cell.fold.test] == ["P4-S1", "P5-S1"]
    assert {part.slide for part in (*cell.fold.train, *cell.fold.validation)} == {"P1-S1", "P2-S1", "P3-S1"}
    assert {part.slide for part in cell.fold.validation} == {"P1-S1"}  # the next patient by name, as the protocol says
    data = cell.specification()
    assert (data["train_data"]["name"], data["test_data"]["name"]) == ("toy", "toy-others")
    assert data["train_data"]["revision"] != data["test_data"]["revision"]
    assert cell.distributions["stbench-toy"] == "1.0"


def test_a_protocol_with_a_split_of_its_own_does_not_apply(registry: Registry, context: DatasetContext) -> None:
    with pytest.raises(NotApplicable, match="no fold that leaves out another data set"):
        planned(registry, context, protocols=("stbench-blocks-v1",))


def test_a_run_is_scored_on_the_other_data_set(registry: Registry, context: DatasetContext, tmp_path: Path) -> None:
    (cell,) = planned(registry, context).cells
    options = RunOptions(store=tmp_path / "store", cache_dir=context.cache_dir, device="cpu")

    record = run_cell(cell, options)

    assert record.failure is None
    assert [(t.slide, t.patient) for t in record.test] == [("P4-S1", "P4"), ("P5-S1", "P5")]
    scores = (
        Store(options.store)
        .query("SELECT dataset, slide, value FROM slide_scores WHERE metric = 'pcc' AND split = 'test' ORDER BY slide")
        .to_pylist()
    )
    assert [(s["dataset"], s["slide"]) for s in scores] == [("toy_on_toy-others", f"P{p}-S1") for p in (4, 5)]
    assert min(s["value"] for s in scores) > 0.1  # the colour tells there, too
    refuse_if_impossible(record, registry, context)
