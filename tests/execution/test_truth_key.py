from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stbench.execution.truth import keep_truth, truth_key
from stbench.protocols import FittedProtocol
from stbench.slides import Slide
from stbench.store import Layout
from stbench.store.slide_info import slide_info
from stbench.store.symbols import gene_symbols
from stbench.testing import toy_slides


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    return toy_slides(tmp_path_factory.mktemp("toy"), patients=1, spots=16, genes=4)[0]


@pytest.fixture
def fitted(toys: Any) -> FittedProtocol:
    protocol = toys.registry.get("protocol", "stbench-v1").spec.load()
    return FittedProtocol(protocol, ({}, {"genes": ["a"], "train_mean": [0.5]}))


def test_it_does_not_depend_on_who_predicts(toys: Any, slide: Slide, fitted: FittedProtocol) -> None:
    keys = {
        truth_key(toys.cell(model, seeds=(seed,)), fitted, slide)
        for model, seed in (("mean", 0), ("position", 0), ("toy-good", 0), ("toy-good", 1))
    }

    assert len(keys) == 1


def test_it_changes_with_everything_a_target_is(toys: Any, slide: Slide, fitted: FittedProtocol) -> None:
    cell = toys.cell("mean")
    unmeasured = slide.adata.copy()
    unmeasured.layers["measured"] = np.zeros(slide.adata.shape, bool)
    other_mean = FittedProtocol(fitted.protocol, ({}, {"genes": ["a"], "train_mean": [0.25]}))
    other_steps = FittedProtocol(toys.registry.get("protocol", "stbench-v1").spec.load(), fitted.states[:1])

    keys = [
        truth_key(cell, fitted, slide),
        truth_key(cell, fitted, slide.subset(np.arange(15))),
        truth_key(cell, fitted, slide.subset(np.arange(16)[::-1])),
        truth_key(cell, fitted, slide.with_adata(slide.adata[:, :3].copy())),
        truth_key(cell, fitted, slide.with_adata(slide.adata[:, ::-1].copy())),
        truth_key(cell, fitted, slide.with_adata(unmeasured)),
        truth_key(cell, other_mean, slide),
        truth_key(cell, other_steps, slide),
        truth_key(cell.model_copy(update={"dataset_revision": "other"}), fitted, slide),
    ]

    assert len(set(keys)) == len(keys)


def test_it_does_not_depend_on_where_things_lie(toys: Any, fitted: FittedProtocol, tmp_path: Path) -> None:
    cell = toys.cell("mean")

    here, there = (toy_slides(tmp_path / place, patients=1, spots=16, genes=4)[0] for place in ("here", "there"))

    assert truth_key(cell, fitted, here) == truth_key(cell, fitted, there)


def test_symbols_are_kept_beside_the_slide_where_genes_are_named_otherwise(slide: Slide, tmp_path: Path) -> None:
    var = slide.adata.var
    var["hvg50"] = var["heg50"] = False
    slide.adata.layers["measured"] = np.ones(slide.adata.shape, bool)

    keep_truth(Layout(tmp_path).create(), "key", slide)

    expected = {g: s for g, s in zip(var.index, var["symbol"], strict=True) if g != s}
    assert expected
    assert gene_symbols(Layout(tmp_path), ["key", "gone"]) == expected
    assert slide_info(Layout(tmp_path), "key")["id"] == slide.info.id
