from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from handmade import SLIDES, between, commit_failure, commit_run, commit_tables, make_cell, random_slides, truth_tables

from stbench.store import Layout
from stbench.store.record import Cost

HOSTILE = "</script><b>bold</b>"
LAYERS = ["inner"] * 6 + ["outer"] * 5 + ["undetermined"]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a good model, two sets of parameters of a poor one, a control, regions on one slide, a failure."""
    root = tmp_path_factory.mktemp("told") / "store"
    truth = random_slides(0)
    truth["A1"][:6] += 4  # so that the layers can be found in the expression
    tables = truth_tables("truth-A1", "A1", truth["A1"])
    region = tables["spots"].column_names.index("region")
    tables["spots"] = tables["spots"].set_column(region, tables["spots"].schema.field(region), pa.array(LAYERS))
    commit_tables(Layout(root).create(), "truth-A1", tables)
    models = {("good", ""): 0.4, ("poor", HOSTILE): 3.0, ("poor", "plain"): 4.0, ("flat", ""): None}
    for number, ((model, note), noise) in enumerate(models.items()):
        rng = np.random.default_rng(number)
        for patient in "ABC":
            predicted = {
                slide: values + rng.normal(0, noise, values.shape).astype(np.float32) if noise else np.ones_like(values)
                for slide, values in truth.items()
                if SLIDES[slide] == patient
            }
            params = {"note": note} if note else {}
            cell = make_cell(patient, model=model, params=params, control=model == "flat")
            cost = Cost(seconds={"fit": 10.0**number, "predict": 1.0}, peak_memory_mb=100.0 + number)
            points = {"B1": between()} if (model, patient) == ("good", "B") else None
            commit_run(root, cell, f"run-{number}-{patient}", truth, predicted, cost=cost, points=points)
    commit_failure(root, make_cell("A", model="lost"), "run-lost")
    return root
