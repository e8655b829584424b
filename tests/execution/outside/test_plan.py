from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stbench.datasets import DatasetContext
from stbench.errors import DataError, StbenchError, UsageError
from stbench.execution.outside.plan import content_version, plan_outside, tasks_of
from stbench.execution.outside.table import Names, PredictionTable
from stbench.execution.outside.task_file import TaskFile
from stbench.matrix import Tasks, plan_tasks
from stbench.matrix.cell import OUTSIDE
from stbench.store.card import ModelCard


def table_of(*folds: str, **stated: str) -> PredictionTable:
    """One row in each fold."""
    codes = np.arange(len(folds), dtype=np.int32)
    one = Names(np.zeros(len(folds), np.int32), ["x"])
    return PredictionTable(
        Path("p.csv"), Names(codes, list(folds)), one, one, one, np.zeros(len(folds), np.float32), stated=stated
    )


@pytest.fixture
def context(toys: Any) -> DatasetContext:
    return DatasetContext(toys.cache_dir)


@pytest.fixture
def tasks(toys: Any, context: DatasetContext) -> Tasks:
    return plan_tasks(["toy"], ["stbench-v1"], None, toys.registry, context)


def test_each_fold_with_rows_is_a_cell(toys: Any, tasks: Tasks) -> None:
    planned = plan_outside(table_of("P3", "P1"), "theirs", "0123", tasks, toys.registry)

    assert [cell.fold.id for cell in planned.cells] == ["P1", "P3"]
    cell = planned.cells[0]
    assert (cell.model, cell.model_distribution, cell.results_version) == ("theirs", OUTSIDE, "0123")
    assert (cell.params, cell.seed, cell.source_digest, cell.preset) == ({}, None, None, "")
    assert cell.fold == tasks.folds[0].fold
    assert cell.complete_parts == 3


def test_other_predictions_are_another_cell(toys: Any, tasks: Tasks) -> None:
    keys = {
        plan_outside(table_of("P1"), name, version, tasks, toys.registry).cells[0].key
        for name, version in (("a", "1"), ("a", "2"), ("b", "1"))
    }

    assert len(keys) == 3


@pytest.mark.parametrize(
    ("name", "folds", "sentence"),
    [
        ("No Name", ["P1"], "--as 'No Name' is no name; use lower-case letters, digits and hyphens"),
        ("ridge", ["P1"], "--as ridge: a model of this name is installed; choose another, such as ridge-outside"),
        ("theirs", ["P1", "P9"], r"1 folds are none of toy under stbench-v1 \(P9\); there are P1, P2, P3"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(
    name: str, folds: list[str], sentence: str, toys: Any, tasks: Tasks
) -> None:
    with pytest.raises(StbenchError, match=sentence):
        plan_outside(table_of(*folds), name, "0", tasks, toys.registry)


def test_a_fold_that_cannot_run_here_says_why(toys: Any, tasks: Tasks) -> None:
    from stbench.matrix import Skipped

    tasks.skipped.append(Skipped("toy", "stbench-v1", "P4", "no slide of its test part has an image"))

    with pytest.raises(DataError, match="fold P4 cannot be scored here: no slide of its test part has an image"):
        plan_outside(table_of("P4"), "theirs", "0", tasks, toys.registry)


@pytest.mark.parametrize(
    ("options", "stated"),
    [
        (("toy", "stbench-v1"), {}),
        ((None, None), {"dataset": "toy", "protocol": "stbench-v1"}),
        (("toy", None), {"dataset": "toy", "protocol": "stbench-v1"}),
        (("toy", None), {}),
    ],
)
def test_the_task_is_what_options_and_columns_say(
    options: tuple[str | None, str | None], stated: dict[str, str], toys: Any, context: DatasetContext
) -> None:
    found = tasks_of(table_of("P1", **stated), *options, None, toys.registry, context)

    assert {(task.dataset, task.protocol) for task in found.folds} == {("toy", "stbench-v1")}


def test_options_and_columns_must_agree(toys: Any, context: DatasetContext) -> None:
    with pytest.raises(UsageError, match="the dataset is not clear: -d says toy, column dataset says toy-single"):
        tasks_of(table_of("P1", dataset="toy-single"), "toy", None, None, toys.registry, context)
    with pytest.raises(UsageError, match=r"which dataset does p\.csv predict"):
        tasks_of(table_of("P1"), None, None, None, toys.registry, context)


def test_a_task_exported_from_other_data_is_refused(toys: Any, context: DatasetContext) -> None:
    exported = TaskFile(
        stbench="0", dataset="toy", dataset_revision="old", protocol="stbench-v1", protocol_version="1",
        headline="pcc", folds=[], slides={},
    )  # fmt: skip

    with pytest.raises(DataError, match=r"exported with dataset revision old, here it is .*; export it again"):
        tasks_of(table_of("P1"), None, None, exported, toys.registry, context)


def test_the_version_changes_with_content_and_card(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    versions = set()
    for content in (b"a", b"b"):
        path.write_bytes(content)
        versions |= {content_version(path, card) for card in (None, ModelCard(title="A"), ModelCard(title="B"))}

    assert len(versions) == 6
    assert all(len(version) == 16 for version in versions)
