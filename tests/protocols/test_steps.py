"""Steps of stbench-v1 against slow definitions; what they learn comes from training slides only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from stbench.datasets import DatasetContext
from stbench.datasets.her2st import Her2st
from stbench.errors import DataError
from stbench.protocols import Protocol
from stbench.protocols.steps import AnnotateGenes, DropMasked, FilterSpots, MarkGenes, MoranPanel, NormalizeLog1p
from stbench.protocols.v1 import STBENCH_V1
from stbench.slides import Slide, SlideInfo

GENES = [f"G{i:02d}" for i in range(12)]


def section(seed: int, genes: list[str] = GENES, side: int = 6, name: str = "S") -> Slide:
    """Sparse counts on a square array: the first genes follow the rows, the later ones are noise or rare."""
    rng = np.random.default_rng(seed)
    row, col = (a.ravel() for a in np.mgrid[:side, :side])
    order = np.array([int(g[1:]) for g in genes])
    trend = np.exp(np.outer(np.sin(row / 2 + seed), np.clip(2 - order / 3, 0, None)))
    rate = trend * np.where(order < 9, 3.0, 0.02)
    obs = pd.DataFrame({"array_row": row, "array_col": col}, index=[f"{r}x{c}" for r, c in zip(row, col, strict=True)])
    var = pd.DataFrame({"symbol": [f"symbol {g}" for g in genes]}, index=pd.Index(genes))
    centers = np.column_stack([col, row]) * 100.0
    adata = AnnData(csr_matrix(rng.poisson(rate).astype(np.int32)), obs=obs, var=var, obsm={"spatial": centers})
    return Slide(adata, SlideInfo(id=name, patient=name, dataset="d", grid="square", mpp=1.0))


def set_counts(slide: Slide, spots: slice | int, genes: slice | int, value: int) -> None:
    counts = slide.adata.X.toarray()
    counts[spots, genes] = value
    slide.adata.X = csr_matrix(counts)


def normalised(slide: Slide) -> Slide:
    return NormalizeLog1p().transform(slide, {})


def by_hand(counts: np.ndarray) -> np.ndarray:
    """Slow reference: ln(1 + 10,000 · count / the spot's counts)."""
    out = np.zeros(counts.shape)
    for i, spot in enumerate(counts):
        for g, count in enumerate(spot):
            out[i, g] = np.log(1 + 1e4 * count / spot.sum()) if spot.sum() else 0.0
    return out


def moran_by_hand(values: np.ndarray, slide: Slide) -> float:
    """Slow reference: Moran's I over the 8 neighbours, each spot's weights summing to 1."""
    positions = slide.array_positions
    z = values - values.mean()
    total = weights = 0.0
    for i in range(len(z)):
        near = [j for j in range(len(z)) if i != j and np.abs(positions[i] - positions[j]).max() <= 1]
        for j in near:
            total += z[i] * z[j] / len(near)
            weights += 1 / len(near)
    return len(z) / weights * total / (z**2).sum()


@pytest.mark.filterwarnings("ignore:Some cells have zero counts")
def test_normalisation_over_all_genes_then_natural_log() -> None:
    slide = section(0)
    set_counts(slide, 3, slice(None), 0)
    counts = slide.adata.X.toarray()

    target = normalised(slide)

    np.testing.assert_allclose(target.adata.X.toarray(), by_hand(counts), rtol=1e-5)
    assert target.adata.X.dtype == np.float32
    np.testing.assert_array_equal(target.adata.raw.X.toarray(), counts)
    np.testing.assert_array_equal(slide.adata.X.toarray(), counts)  # the slide that was given is left alone


def test_a_known_expectation_is_treated_alike() -> None:
    slide = section(0)
    slide.adata.layers["expected"] = slide.adata.X.toarray() + 0.5

    target = normalised(slide)

    np.testing.assert_allclose(target.adata.layers["expected"], by_hand(slide.adata.X.toarray() + 0.5), rtol=1e-5)


def test_spots_with_few_counts_and_spots_off_the_tissue_are_dropped() -> None:
    slide = section(0)
    totals = slide.adata.X.toarray().sum(1)
    limit = int(np.sort(totals)[10])

    kept = FilterSpots(min_counts=limit).transform(slide, {})
    assert kept.adata.X.toarray().sum(1).tolist() == [t for t in totals if t >= limit]

    slide.adata.obs["in_tissue"] = (np.arange(36) < 20).astype(int)
    kept = FilterSpots(min_counts=limit).transform(slide, {})
    assert kept.n_spots == (totals[:20] >= limit).sum()


def test_the_panel_is_the_mean_moran_over_training_slides() -> None:
    train = [normalised(section(1)), normalised(section(2, side=5))]

    state = MoranPanel(n_genes=5).fit(train)

    detected = {g: np.mean(np.concatenate([s.adata[:, g].X.toarray() > 0 for s in train])) for g in GENES}
    assert any(share < 0.1 for share in detected.values())
    scores = {
        g: np.mean([moran_by_hand(s.adata[:, g].X.toarray().ravel().astype(float), s) for s in train])
        for g in GENES
        if detected[g] >= 0.1
    }
    assert state["genes"] == sorted(scores, key=lambda g: -scores[g])[:5]
    assert json.loads(json.dumps(state)) == state


def test_mean_and_marks_of_the_panel_genes_are_those_of_all_training_spots_together() -> None:
    panel = MoranPanel(n_genes=5)
    train = [normalised(section(1)), normalised(section(2, side=5))]
    chosen = panel.fit(train)
    prepared = [panel.transform(slide, chosen) for slide in train]
    step = AnnotateGenes(n_marked=2)

    state = step.fit(prepared)

    pooled = np.concatenate([s.adata[:, chosen["genes"]].X.toarray() for s in train]).astype(float)
    assert state["train_mean"] == pytest.approx(pooled.mean(0).tolist())
    assert np.flatnonzero(state["hvg50"]).tolist() == sorted(np.argsort(-pooled.var(0))[:2])
    assert np.flatnonzero(state["heg50"]).tolist() == sorted(np.argsort(-pooled.mean(0))[:2])
    assert json.loads(json.dumps(state)) == state
    test = step.transform(panel.transform(normalised(section(3)), chosen), state)
    assert {name: test.adata.var[name].tolist() for name in state} == state


def test_a_gene_constant_in_one_training_slide_counts_by_the_others() -> None:
    varied, flat = section(1), section(2)
    set_counts(flat, slice(None), 0, 0)
    train = [normalised(varied), normalised(flat)]
    own = moran_by_hand(train[0].adata[:, "G00"].X.toarray().ravel().astype(float), train[0])

    ranked = MoranPanel(n_genes=12).fit(train)["genes"]

    others = {
        g: np.mean([moran_by_hand(s.adata[:, g].X.toarray().ravel().astype(float), s) for s in train])
        for g in ranked
        if g != "G00"
    }
    place = ranked.index("G00")
    assert place == sum(score > own for score in others.values())
    assert place != sum(score > own / 2 for score in others.values())  # as if a constant gene had no pattern


def test_detection_is_counted_over_all_training_spots() -> None:
    everywhere, nowhere = section(1), section(2)
    set_counts(nowhere, slice(None), 9, 0)
    set_counts(everywhere, slice(8, None), 9, 0)
    set_counts(everywhere, slice(8), 9, 3)  # 8 of 72 spots: 11 %

    fitted = MoranPanel(n_genes=12).fit([normalised(everywhere), normalised(nowhere)])
    assert "G09" in fitted["genes"]

    set_counts(everywhere, 7, 9, 0)  # 7 of 72 spots: 9.7 %
    fitted = MoranPanel(n_genes=12).fit([normalised(everywhere), normalised(nowhere)])
    assert "G09" not in fitted["genes"]


def test_a_gene_missing_in_one_training_slide_is_no_candidate() -> None:
    train = [normalised(section(1)), normalised(section(2, [g for g in GENES if g != "G00"]))]

    assert "G00" in MoranPanel().fit(train[:1])["genes"]
    assert "G00" not in MoranPanel().fit(train)["genes"]


def test_a_panel_gene_missing_in_the_test_slide_is_not_measured_there() -> None:
    train = [normalised(section(1))]
    test = normalised(section(3, [g for g in reversed(GENES) if g != "G01"]))
    step = MoranPanel(n_genes=6)
    state = step.fit(train)
    panel = state["genes"]
    assert "G01" in panel

    prepared = step.transform(test, state)

    assert list(prepared.adata.var_names) == panel
    assert prepared.measured.all(0).tolist() == [g != "G01" for g in panel]
    assert not prepared.measured[:, panel.index("G01")].any()
    for gene in panel:
        expected = test.adata[:, gene].X.toarray().ravel() if gene != "G01" else np.zeros(36)
        np.testing.assert_array_equal(prepared.target[:, panel.index(gene)], expected)
    assert prepared.target.dtype == np.float32
    assert prepared.adata.raw.shape == (36, 11)
    assert [*prepared.adata.var["symbol"]] == [f"symbol {g}" if g != "G01" else g for g in panel]


@pytest.mark.filterwarnings("ignore:Some cells have zero counts")
def test_an_empty_panel_says_what_to_check() -> None:
    train = [normalised(section(1)), normalised(section(2, ["G00"]))]
    train[1].adata.var_names = ["another name"]

    with pytest.raises(DataError, match="the panel is empty: none of 0 genes measured in all 2 slides looked at"):
        MoranPanel().fit(train)


STEPS = (NormalizeLog1p(), MoranPanel(n_genes=5), AnnotateGenes(n_marked=2))
SMALL = Protocol("small", "1", (FilterSpots(0),), STEPS, lambda s: [])


@pytest.mark.filterwarnings("ignore:Some cells have zero counts")
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.sampled_from(GENES), min_size=1))
def test_what_is_fitted_never_depends_on_test_slides(seed: int, measured: set[str]) -> None:
    def train() -> list[Slide]:
        return [SMALL.filter(section(1)), SMALL.filter(section(2))]

    slides = train()
    before = SMALL.fit(slides)
    copied = json.dumps(before.states)

    test = before.transform(SMALL.filter(section(seed, sorted(measured), side=4)))

    assert json.dumps(before.states) == copied
    assert SMALL.fit(slides).states == before.states == SMALL.fit(train()).states
    assert list(test.adata.var_names) == before.states[1]["genes"]
    np.testing.assert_array_equal(test.measured.any(0), [g in measured for g in before.states[1]["genes"]])
    assert test.adata.var["train_mean"].tolist() == before.states[2]["train_mean"]


def test_fitting_leaves_its_slides_alone() -> None:
    slide = section(1)
    counts = slide.adata.X.toarray()

    SMALL.fit([slide])

    np.testing.assert_array_equal(slide.adata.X.toarray(), counts)
    assert list(slide.adata.var_names) == GENES


def test_the_order_of_training_slides_does_not_change_the_panel() -> None:
    first, second = normalised(section(1)), normalised(section(2))

    forwards, backwards = MoranPanel(n_genes=5).fit([first, second]), MoranPanel(n_genes=5).fit([second, first])

    assert forwards["genes"] == backwards["genes"]


def test_known_markers_are_marked_by_id_or_symbol() -> None:
    slide = AnnotateGenes().transform(normalised(section(1)), {})

    marked = MarkGenes(("G03", "symbol G05", "elsewhere")).transform(slide, {})

    assert list(marked.adata.var_names[marked.adata.var["marker"]]) == ["G03", "G05"]


def test_every_step_of_the_headline_protocol_learns_from_training_slides_or_not_at_all() -> None:
    steps = (*STBENCH_V1.spot_steps, *STBENCH_V1.target_steps)

    assert [(type(s).__name__, s.fit_on) for s in steps] == [
        ("FilterSpots", "none"),
        ("DropMasked", "none"),
        ("NormalizeLog1p", "none"),
        ("MoranPanel", "train"),
        ("AnnotateGenes", "train"),
    ]
    assert (steps[0].min_counts, steps[2].target_sum, steps[3].n_genes, steps[3].min_detected) == (100, 1e4, 250, 0.1)
    assert steps[4].n_marked == 50


def test_spots_on_masked_background_are_dropped(test_data: Path, cache_dir: Path) -> None:
    slide = Her2st(DatasetContext(cache_dir, test_data)).load("A2")

    kept = DropMasked().transform(slide, {})

    dropped = sorted(set(slide.adata.obs_names) - set(kept.adata.obs_names))
    assert len(dropped) / slide.n_spots == pytest.approx(0.18, abs=0.01)
    centre_is_black = {
        name: slide.image.read(int(x), int(y), 1, 1).max() <= 2
        for name, (x, y) in zip(slide.adata.obs_names, slide.centers_px, strict=True)
    }
    assert np.mean([centre_is_black[name] for name in dropped]) > 0.9
    assert np.mean([centre_is_black[name] for name in kept.adata.obs_names]) < 0.02
