from __future__ import annotations

from pathlib import Path

import pytest

from stbench.datasets import DatasetContext
from stbench.errors import NotApplicable, UsageError
from stbench.matrix import Cell, ModelRequest, Request, plan, plan_tasks
from stbench.registry import discover


@pytest.fixture
def context(cache_dir: Path) -> DatasetContext:
    return DatasetContext(cache_dir)


def test_the_folds_are_those_that_models_run_on(context: DatasetContext) -> None:
    tasks = plan_tasks(["simulated"], [], None, discover(), context)

    cells = plan([Request((ModelRequest("mean"),), ("simulated",))], discover(), context).cells

    assert [task.fold for task in tasks.folds] == [cell.fold for cell in cells]
    named = {"model", "model_distribution", "results_version", "params", "params_by_content", "source_digest", "preset"}
    stated = {name: getattr(cells[0], name) for name in named | {"seed", "control"}}
    assert Cell.of(tasks.folds[0], **stated) == cells[0]


def test_folds_can_be_chosen(context: DatasetContext) -> None:
    tasks = plan_tasks(["simulated"], ["stbench-v1"], "P2,3", discover(), context)

    assert [task.fold.id for task in tasks.folds] == ["P2", "P4"]
    assert str(tasks.folds[0]) == "simulated/stbench-v1 fold P2"
    with pytest.raises(UsageError, match="no fold 'P9'"):
        plan_tasks(["simulated"], ["stbench-v1"], "P9", discover(), context)


def test_what_does_not_apply_is_left_out_with_its_reason(context: DatasetContext) -> None:
    tasks = plan_tasks(["simulated"], ["histogene-2021"], None, discover(), context)

    assert tasks.folds == []
    (skipped,) = tasks.skipped
    assert (skipped.dataset, skipped.protocol, skipped.fold) == ("simulated", "histogene-2021", "")
    with pytest.raises(NotApplicable, match="histogene-2021"):
        tasks.require()
