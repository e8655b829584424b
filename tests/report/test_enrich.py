"""Gene sets among the genes best predicted, on a store whose numbers can be worked out on paper."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from handmade import SLIDES, commit_run, make_cell, random_slides

from stbench.errors import UsageError
from stbench.registry import discover
from stbench.report.comparison import Choice
from stbench.report.enrich import Enrichment, Selection, enrich
from stbench.report.scores import read_scores
from stbench.store import Store, schema

N_GENES, N_GOOD = 20, 6
SIX = Selection(top=6)
TRUTH = random_slides(0, shape=(30, N_GENES))
SETS = {
    "good": [f"G{i}" for i in range(1, N_GOOD + 1)],
    "poor": [f"G{i}" for i in range(N_GOOD + 1, N_GENES + 1)],
    "mixed": ["G1", "G2", "G9", "G10", "G11", "H1"],
    "small": ["G1", "G2"],
}


def predicted(slide: str, n_genes: int = N_GENES, seed: int = 1) -> np.ndarray:
    """The first genes nearly right, the others noise."""
    noise = np.random.default_rng([seed, *map(ord, slide)]).normal(size=(30, N_GENES))
    weight = np.where(np.arange(N_GENES) < N_GOOD, 0.2, 20)
    return (TRUTH[slide] + weight * noise).astype(np.float32)[:, :n_genes]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three folds; the panel of the last lacks five genes."""
    for patient, n_genes in (("A", N_GENES), ("B", N_GENES), ("C", N_GENES - 5)):
        test = {s: predicted(s, n_genes) for s, p in SLIDES.items() if p == patient}
        truth = {s: t[:, :n_genes] for s, t in TRUTH.items()}
        commit_run(tmp_path, make_cell(patient), f"run-{patient}", truth, test)
    return tmp_path


def of(root: Path, selection: Selection = SIX, metric: str = "pcc", sets: object = SETS) -> Enrichment:
    store = Store(root)
    return enrich(store, read_scores(store, discover()), Choice("method", {}), metric, sets, selection)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", ["pcc", "rmse"])
def test_what_is_predicted_best_is_found_whichever_way_the_metric_points(metric: str, root: Path) -> None:
    found = of(root, metric=metric)

    assert {g.gene for g in found.genes[:6]} == set(SETS["good"])
    assert [s.name for s in found.sets] == ["good", "mixed", "poor"]
    assert (found.sets[0].overlap, found.sets[0].size) == (6, 6)
    assert found.sets[0].p == pytest.approx(1 / 38760)  # of the ways to draw 6 of 20, one
    assert (found.n_sets, found.n_folds, found.n_selected) == (4, 3, 6)


def test_a_gene_scores_its_mean_over_the_folds_whose_panel_has_it(root: Path) -> None:
    def r(slide: str, gene: int) -> float:
        return float(np.corrcoef(TRUTH[slide][:, gene], predicted(slide)[:, gene])[0, 1])

    genes = {g.gene: g for g in of(root).genes}

    assert (genes["G1"].n_folds, genes["G20"].n_folds) == (3, 2)
    assert genes["G1"].score == pytest.approx(np.mean([(r("A1", 0) + r("A2", 0)) / 2, r("B1", 0), r("C1", 0)]))
    assert genes["G20"].score == pytest.approx(np.mean([(r("A1", 19) + r("A2", 19)) / 2, r("B1", 19)]))


def test_genes_beyond_a_score_are_selected_whichever_way_the_metric_points(root: Path) -> None:
    assert of(root, Selection(beyond=0.8)).n_selected == 6
    assert of(root, Selection(beyond=1.0), metric="rmse").n_selected == 6


def test_symbols_of_the_store_are_used_and_ids_are_understood_too(root: Path) -> None:
    symbols = {f"G{i}": f"SYM{i}" for i in range(1, N_GENES)} | {"G2": "SYM1"}
    for path in (root / "truth").glob("*/spots.parquet"):
        table = pq.read_table(path)
        stated = {**(table.schema.metadata or {}), schema.GENE_SYMBOLS: json.dumps(symbols)}
        pq.write_table(table.replace_schema_metadata(stated), path)

    by_symbol = of(root, Selection(top=5), sets={"set": ["SYM1", "SYM3", "SYM4", "SYM5", "SYM6"]})
    by_id = of(root, Selection(top=5), sets={"set": ["G1", "G2", "G3", "G4", "G5", "G6"]})

    assert len(by_symbol.genes) == N_GENES - 1  # two ids of one symbol are one gene
    assert "G20" in {g.gene for g in by_symbol.genes}  # it has no symbol
    assert by_symbol.sets[0].overlap == by_id.sets[0].overlap == 5
    assert by_symbol.sets == by_id.sets


@pytest.mark.parametrize(
    ("selection", "sets", "sentence"),
    [
        (Selection(top=20), SETS, "--top 20 selects all 20 scored genes"),
        (Selection(beyond=1.0), SETS, "--above 1 selects none of the 20 scored genes; the best scores 0.9"),
        (Selection(6), {"other": ["Gnas", "Fn1"]}, "whose genes are named G1, G10, G11, and the file's Fn1, Gnas"),
        (Selection(6), {"small": ["G1", "G2"]}, r"the one with most, small, has 2\); see --min-size and --max-size"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(selection: Selection, sets: object, sentence: str, root: Path) -> None:
    with pytest.raises(UsageError, match=sentence):
        of(root, selection, sets=sets)


def test_runs_on_several_tasks_have_to_be_told_apart(root: Path) -> None:
    values = {"A1": predicted("A1")}
    commit_run(root, make_cell("A", dataset="other"), "run-other", TRUTH, values)

    with pytest.raises(UsageError, match="method has runs on hand under stbench-v1, other under stbench-v1; name one"):
        of(root)
