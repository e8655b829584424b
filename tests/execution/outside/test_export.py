"""The task for models that run elsewhere: complete, and without any test expression."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from stbench.datasets import DatasetContext
from stbench.errors import UsageError
from stbench.execution.outside.export import export_task
from stbench.execution.outside.task_file import TaskFile, read_task
from stbench.execution.prepare import fit_protocol, load_parts, load_protocol, open_dataset
from stbench.matrix import Tasks, plan_tasks
from stbench.slides import Slide


@pytest.fixture
def context(toys: Any) -> DatasetContext:
    return DatasetContext(toys.cache_dir)


def export(toys: Any, out: Path, dataset: str, protocol: str, folds: str | None = None) -> tuple[Tasks, TaskFile]:
    context = DatasetContext(toys.cache_dir)
    tasks = plan_tasks([dataset], [protocol], folds, toys.registry, context)
    return tasks, export_task(tasks, out, toys.registry, context, report=lambda line: None)


def prepared(toys: Any, tasks: Tasks, context: DatasetContext) -> dict[str, list[Slide]]:
    (task,) = tasks.folds
    protocol, dataset = load_protocol(task, toys.registry), open_dataset(task, toys.registry, context)
    parts = load_parts(task.fold, protocol, dataset)
    fitted = fit_protocol(task, protocol, dataset, parts.train)
    return {role: [fitted.transform(s) for s in getattr(parts, role)] for role in ("train", "validation", "test")}


def arrays_below(folder: Path) -> list[np.ndarray]:
    """Every array of every .h5ad, flat."""
    found: list[np.ndarray] = []

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(np.ravel(item[()]))

    for path in folder.rglob("*.h5ad"):
        with h5py.File(path) as file:
            file.visititems(keep)
    return found


@pytest.mark.parametrize(("dataset", "protocol"), [("toy", "stbench-v1"), ("toy-single", "stbench-blocks-v1")])
def test_no_test_expression_and_no_label_is_anywhere(
    dataset: str, protocol: str, toys: Any, context: DatasetContext, tmp_path: Path
) -> None:
    tasks, _ = export(toys, tmp_path / "task", dataset, protocol, folds="0")

    secret = np.concatenate([s.target.ravel() for s in prepared(toys, tasks, context)["test"]])
    trained = np.concatenate([s.target.ravel() for s in prepared(toys, tasks, context)["train"]])
    exported = np.concatenate([a.astype(np.float32) for a in arrays_below(tmp_path / "task") if a.dtype.kind == "f"])
    known = set(exported[exported != 0].tolist())
    only_in_test = set(secret[secret != 0].tolist()) - set(trained.tolist())
    assert len(only_in_test) > 100
    validation = prepared(toys, tasks, context)["validation"]
    only_in_test -= set(np.concatenate([s.target.ravel() for s in validation]).tolist())
    assert not known & only_in_test
    assert set(trained[trained != 0].tolist()) <= known  # the search would have found it
    for path in (tmp_path / "task").rglob("*.h5ad"):
        assert b"region" not in path.read_bytes()
    for path in (tmp_path / "task" / "folds").glob("*/test/*.h5ad"):
        adata = anndata.read_h5ad(path)
        assert adata.X is None
        assert adata.n_vars == 0
        assert set(adata.obs) == {"array_row", "array_col"}
        assert not adata.layers
        assert not adata.uns
        assert adata.raw is None


def test_training_parts_are_what_a_model_here_trains_on(toys: Any, context: DatasetContext, tmp_path: Path) -> None:
    tasks, task = export(toys, tmp_path / "task", "toy", "stbench-v1", folds="P1")
    slides = prepared(toys, tasks, context)
    (fold,) = task.folds

    panel = pd.read_csv(tmp_path / "task" / fold.panel)
    assert list(panel.columns) == ["gene", "symbol", "train_mean", "hvg50", "heg50"]
    assert list(panel["gene"]) == list(slides["train"][0].adata.var_names)
    for role in ("train", "validation"):
        for entry, slide in zip(getattr(fold, role), slides[role], strict=True):
            adata = anndata.read_h5ad(tmp_path / "task" / entry.file)
            np.testing.assert_array_equal(adata.X, slide.target)
            np.testing.assert_array_equal(adata.layers["measured"], slide.measured)
            np.testing.assert_array_equal(adata.obsm["spatial"], slide.centers_px)
            assert list(adata.obs_names) == list(slide.adata.obs_names)
            assert list(adata.var_names) == list(panel["gene"])
            assert (entry.slide, entry.n_spots) == (slide.info.id, slide.n_spots)
    (test,) = fold.test
    assert list(anndata.read_h5ad(tmp_path / "task" / test.file).obs_names) == list(slides["test"][0].adata.obs_names)


def test_the_task_file_says_what_is_to_be_known(toys: Any, tmp_path: Path) -> None:
    tasks, task = export(toys, tmp_path / "my task", "toy", "stbench-v1")

    stated = read_task(tmp_path / "my task")

    assert stated == task
    assert [fold.fold for fold in stated.folds] == ["P1", "P2", "P3"]
    assert (stated.dataset, stated.protocol, stated.headline) == ("toy", "stbench-v1", "pcc")
    assert stated.dataset_revision == tasks.folds[0].dataset_revision
    assert set(stated.slides) == {"P1-S1", "P2-S1", "P3-S1"}
    image = stated.slides["P1-S1"]
    assert (image.mpp, image.spot_um) == (2.0, 55.0)
    assert min(image.size_px) > 0
    assert Path(image.image).is_file()
    readme = (tmp_path / "my task" / "README.md").read_text()
    assert "stbench score predictions.parquet --as my-model -d toy -p stbench-v1" in readme


def test_two_parts_of_a_slide_have_files_of_their_own(toys: Any, tmp_path: Path) -> None:
    from stbench.execution.outside.export import file_names

    assert file_names(["A1", "A1", "B 1/2", "A1-2", ".."]) == ["A1", "A1-2", "B_1_2", "A1-2-2", "_"]


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: None])
def test_an_empty_folder_will_do(make: Any, toys: Any, tmp_path: Path) -> None:
    make(tmp_path / "task")

    export(toys, tmp_path / "task", "toy", "stbench-v1", folds="P1")

    assert (tmp_path / "task" / "task.json").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["task"]


def test_a_folder_that_holds_something_is_left_alone(toys: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("precious")

    with pytest.raises(UsageError, match="is not empty; give a folder that is empty"):
        export(toys, tmp_path, "toy", "stbench-v1")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.docx"]


def test_an_export_that_breaks_leaves_nothing(toys: Any, context: DatasetContext, tmp_path: Path) -> None:
    tasks = plan_tasks(["toy"], ["stbench-v1"], None, toys.registry, context)

    def stop(line: str) -> None:
        if "P2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_task(tasks, tmp_path / "task", toys.registry, context, report=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "holds no task.json"), ("{}", "holds no task.json"), ("version", "has format stbench-task 99")],
)
def test_a_folder_without_a_task_is_refused(content: str | None, sentence: str, toys: Any, tmp_path: Path) -> None:
    if content == "version":
        export(toys, tmp_path / "task", "toy", "stbench-v1", folds="P1")
        path = tmp_path / "task" / "task.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    elif content:
        (tmp_path / "task").mkdir()
        (tmp_path / "task" / "task.json").write_text(content)

    with pytest.raises(UsageError, match=sentence):
        read_task(tmp_path / "task")
