"""PixNet's task: bins of any size, folds by section, and a target that is the same however little of it is held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix, issparse
from sklearn.model_selection import KFold

from stbench.errors import NotApplicable
from stbench.protocols import FittedProtocol, panel_log1p, steps
from stbench.protocols.enough_counts import EnoughPanelCounts
from stbench.protocols.panel_log1p import PanelLog1p
from stbench.protocols.pixnet_2025 import PIXNET_2025, PIXNET_2025_CLEAN, three_folds
from stbench.protocols.steps import NormalizeLog1p, select_panel
from stbench.slides import Slide, SlideInfo
from stbench.slides import slide as slides

GENES = [f"G{i:02d}" for i in range(30)]


def section(seed: int = 0, spot_um: float = 55.0, name: str = "S1", side: int = 12, depth: float = 2.0) -> Slide:
    rng = np.random.default_rng(seed)
    row, col = (a.ravel() for a in np.mgrid[:side, :side])
    counts = rng.poisson(depth * np.linspace(0.05, 2, len(GENES)), (side * side, len(GENES))).astype(np.int32)
    obs = pd.DataFrame({"array_row": row, "array_col": col}, index=[f"{r}x{c}" for r, c in zip(row, col, strict=True)])
    var = pd.DataFrame({"symbol": GENES}, index=pd.Index(GENES))
    adata = AnnData(csr_matrix(counts), obs=obs, var=var, obsm={"spatial": np.column_stack([col, row]) * 100.0})
    info = SlideInfo(id=name, patient=name, dataset="d", image_id=name, grid="square", mpp=1.0, spot_um=spot_um)
    return Slide(adata, info)


def infos(*names: str) -> list[SlideInfo]:
    """Each section with bins of 8 and 16 µm."""
    one = section().info
    return [
        replace(one, id=f"{name}-{um:03d}um", image_id=name, patient="P", spot_um=float(um))
        for name in names
        for um in (8, 16)
    ]


def test_the_target_is_what_normalising_before_the_panel_gives() -> None:
    slide, panel = section(), GENES[10:20]

    before = select_panel(NormalizeLog1p().transform(slide, {}), panel)
    after = PanelLog1p().transform(select_panel(slide, panel), {})

    np.testing.assert_allclose(after.target, before.target, rtol=1e-6)
    np.testing.assert_array_equal(after.measured, before.measured)


@pytest.mark.parametrize("at_once", [7, 2**20])
def test_a_large_slide_has_the_same_target_in_less_room(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = section()
    monkeypatch.setattr(steps, "ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(steps, "AT_ONCE", at_once)
    monkeypatch.setattr(panel_log1p, "AT_ONCE", at_once)
    fitted = PIXNET_2025.fit([slide], lambda: [slide])
    expected = fitted.transform(slide)

    monkeypatch.setattr(slides, "LARGE", 50)
    refitted = PIXNET_2025.fit([slide], lambda: [slide])
    large = FittedProtocol(PIXNET_2025, fitted.states).transform(slide)

    assert [list(state) for state in refitted.states] == [list(state) for state in fitted.states]
    np.testing.assert_allclose(refitted.states[-1]["train_mean"], fitted.states[-1]["train_mean"], rtol=1e-6)
    assert refitted.states[-1]["hvg50"] == fitted.states[-1]["hvg50"]
    assert issparse(large.adata.X)
    assert "measured" not in large.adata.layers
    np.testing.assert_array_equal(large.target, expected.target)
    np.testing.assert_array_equal(large.target_of(slice(3, 7)), expected.target[:, 3:7])
    np.testing.assert_array_equal(large.measured, expected.measured)


def test_a_gene_that_a_large_slide_lacks_is_not_measured_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "LARGE", 50)
    slide = select_panel(section(), ["G03", "nowhere", "G29"])

    assert slide.measured.all(0).tolist() == [True, False, True]
    assert slide.measured.any(0).tolist() == [True, False, True]
    np.testing.assert_array_equal(slide.target[:, 1], 0)
    np.testing.assert_array_equal(slide.target[:, 2], section().target[:, 29])


@pytest.mark.parametrize(("spot_um", "least"), [(2.0, 1), (8.0, 10), (16.0, 20), (55.0, 20)])
def test_bins_need_counts_by_their_size(spot_um: float, least: int) -> None:
    slide = section(spot_um=spot_um, depth=0.4)
    kept = EnoughPanelCounts(((2.0, 1), (8.0, 10), (16.0, 20))).transform(slide, {})

    total = slide.target.sum(1)
    assert 0 < kept.n_spots < slide.n_spots or least == 1
    assert kept.n_spots == (total >= least).sum()
    assert kept.target.sum(1).min() >= least


def test_folds_are_those_of_scikit_learn_over_sections() -> None:
    names = [f"S{i}" for i in range(7)]
    sections = infos(*names)

    folds = three_folds(sections)

    expected = [[names[k] for k in test] for _, test in KFold(3, shuffle=True, random_state=12345).split(names)]
    assert [sorted({p.slide[:2] for p in fold.test}) for fold in folds] == expected
    for fold in folds:
        held_out, seen = ({p.slide[:2] for p in parts} for parts in (fold.test, (*fold.train, *fold.validation)))
        assert not held_out & seen
        assert held_out | seen == set(names)
        assert not {p.slide for p in fold.train} & {p.slide for p in fold.validation}
        assert len({p.slide[:2] for p in fold.validation}) == 1  # both bin sizes of one section


def test_two_sections_are_left_out_in_turn_with_all_their_bins() -> None:
    first, second = three_folds(infos("A", "B"))

    assert {p.slide for p in first.test} | {p.slide for p in second.test} == {
        "A-008um", "A-016um", "B-008um", "B-016um"
    }  # fmt: skip
    assert {p.slide[0] for p in first.test} == {"B"} or {p.slide[0] for p in first.test} == {"A"}
    assert all(part.block is not None for part in (*first.train, *first.validation))


def test_one_section_cannot_be_left_out() -> None:
    with pytest.raises(NotApplicable, match="leaving sections out needs two"):
        PIXNET_2025.folds(infos("A"))


def test_the_clean_twin_looks_at_training_slides_only() -> None:
    assert {step.fit_on for step in PIXNET_2025.target_steps} == {"all", "none", "train"}
    assert {step.fit_on for step in PIXNET_2025_CLEAN.target_steps} == {"none", "train"}
    assert PIXNET_2025_CLEAN.declares == frozenset()
