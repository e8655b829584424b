"""A kept model predicts as the run did; what cannot be loaded is said."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

from stbench.datasets import DatasetContext
from stbench.errors import DataError, UsageError
from stbench.execution import run_cell
from stbench.execution.kept import FOLDER, held_out_slide, kept_model
from stbench.execution.stored import stored_prediction, stored_slide
from stbench.store import Layout
from stbench.testing import context


@pytest.fixture
def kept(toys: Any) -> Any:
    options = toys.options.model_copy(update={"keep": frozenset({"model"})})
    record = run_cell(toys.cell("toy-scaled"), options)
    assert record.status == "ok"
    cell = record.cell
    folder = Layout(toys.store).run_folder(cell.dataset, cell.protocol, cell.model, cell.key, record.run_id)
    return folder, record, options


def test_it_predicts_what_the_run_predicted(kept: Any, tmp_path: Any) -> None:
    folder, record, options = kept
    (test,) = record.test

    model = kept_model(folder, record.cell, context(tmp_path))
    slide = held_out_slide(record.cell, test.slide, DatasetContext(options.cache_dir))

    stored = stored_slide(Layout(options.store), record, test)
    assert list(slide.adata.obs_names) == list(stored.adata.obs_names)
    assert slide.adata.X is None
    expected = stored_prediction(folder, test, stored).mean
    # the store sorts the genes by name, the model keeps the panel's order
    np.testing.assert_allclose(np.sort(model.predict(slide)), np.sort(expected), rtol=1e-6)


def test_a_run_without_a_model(kept: Any, tmp_path: Any) -> None:
    folder, record, _ = kept
    shutil.rmtree(folder / FOLDER)

    with pytest.raises(UsageError, match=r"kept no model; run the cell again with --keep model --fresh"):
        kept_model(folder, record.cell, context(tmp_path))


def test_a_damaged_model(kept: Any, tmp_path: Any) -> None:
    folder, record, _ = kept
    (folder / FOLDER / "weights.npy").write_bytes(b"no array")

    with pytest.raises(DataError, match=r"cannot be loaded .*; run the cell again with --fresh"):
        kept_model(folder, record.cell, context(tmp_path))


def test_a_slide_that_was_not_tested(kept: Any) -> None:
    _, record, options = kept
    elsewhere = record.cell.fold.train[0].slide

    with pytest.raises(UsageError, match=f"does not test slide '{elsewhere}'"):
        held_out_slide(record.cell, elsewhere, DatasetContext(options.cache_dir))
