"""Steps of stnet-2020 against slow definitions, its folds, and what its two variants look at."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from stbench.errors import DataError, NotApplicable
from stbench.protocols.highest_mean import HighestMeanPanel
from stbench.protocols.log_share import LogShare
from stbench.protocols.stnet_2020 import STNET_2020, STNET_2020_CLEAN
from stbench.protocols.whole_window import WholeWindow
from stbench.slides import Slide, SlideInfo
from stbench.testing import check_protocol
from stbench.testing.protocol.counts import raw_slides

GENES = [f"G{i}" for i in range(9)]


def section(seed: int, patient: str = "P", genes: list[str] = GENES, spots: int = 12) -> Slide:
    """Counts whose genes differ in mean, the same way in all sections but for a few."""
    rng = np.random.default_rng(seed)
    mean = np.array([1 + int(g[1:]) * 7 % 11 for g in genes]) * rng.uniform(0.5, 2, len(genes))
    counts = rng.poisson(mean, (spots, len(genes))).astype(np.int32)
    var = pd.DataFrame({"symbol": genes}, index=pd.Index(genes))
    adata = AnnData(csr_matrix(counts), obs=pd.DataFrame(index=[f"s{i}" for i in range(spots)]), var=var)
    adata.obsm["spatial"] = np.zeros((spots, 2))
    return Slide(adata, SlideInfo(id=f"{patient}-{seed}", patient=patient, dataset="d", mpp=1.0))


def count(slide: Slide, spot: int, gene: str) -> int:
    """0 where the slide lacks the gene: published tables leave out genes without a count."""
    genes = list(slide.adata.var_names)
    return int(slide.adata.X[spot, genes.index(gene)]) if gene in genes else 0


def all_counts(slide: Slide, spot: int) -> int:
    return sum(count(slide, spot, gene) for gene in slide.adata.var_names)


SLIDES = [section(0, "A"), section(1, "B", [*GENES[4:], "G9"], 30), section(2, "C", GENES[::-1], 5)]
UNIVERSE = [*GENES, "G9"]


def highest_by_hand(slides: list[Slide], n: int) -> list[str]:
    """Slow reference: one gene and one spot at a time."""
    spots = [(slide, spot) for slide in slides for spot in range(slide.n_spots)]
    mean = {gene: sum(count(*at, gene) for at in spots) / len(spots) for gene in UNIVERSE}
    return sorted(sorted(UNIVERSE, key=lambda gene: (-mean[gene], gene))[:n])


@pytest.mark.parametrize("n", [1, 4, 7])
def test_the_panel_is_the_genes_with_the_highest_mean_over_all_spots_in_order_of_ids(n: int) -> None:
    state = HighestMeanPanel(n).fit(SLIDES)

    assert state["genes"] == highest_by_hand(SLIDES, n)
    assert HighestMeanPanel(n).fit(SLIDES[::-1]) == state == json.loads(json.dumps(state))
    per_slide = {tuple(HighestMeanPanel(n).fit([slide])["genes"]) for slide in SLIDES}
    assert per_slide != {tuple(state["genes"])}  # the mean is not any one slide's


def test_of_equal_genes_the_first_by_id_is_taken_and_genes_without_a_count_never() -> None:
    slide = section(0)
    counts = np.zeros((12, 9), np.int32)
    counts[0, [2, 5, 7]] = 3
    slide = slide.with_adata(AnnData(csr_matrix(counts), obs=slide.adata.obs, var=slide.adata.var))

    assert HighestMeanPanel(2).fit([slide])["genes"] == ["G2", "G5"]
    assert HighestMeanPanel(9).fit([slide])["genes"] == ["G2", "G5", "G7"]
    slide.adata.X = csr_matrix(counts * 0)
    with pytest.raises(DataError, match="the panel is empty: none of 9 genes has a count in 1 slides"):
        HighestMeanPanel().fit([slide])


def test_the_target_is_the_log_share_of_all_counts_with_a_pseudocount_for_every_gene() -> None:
    panel, share = HighestMeanPanel(4), LogShare()
    chosen = panel.fit(SLIDES)
    prepared = [panel.transform(slide, chosen) for slide in SLIDES]

    state = share.fit(prepared)

    assert state == {"n_genes": len(UNIVERSE)} == {"n_genes": 10}  # of any slide, not of the panel
    for raw, slide in zip(SLIDES, prepared, strict=True):
        made = share.transform(slide, state)
        for spot in range(raw.n_spots):
            total = all_counts(raw, spot)
            by_hand = [math.log((1 + count(raw, spot, gene)) / (10 + total)) for gene in chosen["genes"]]
            np.testing.assert_allclose(made.target[spot], by_hand, rtol=1e-6)
        np.testing.assert_array_equal(made.measured.all(0), [g in raw.adata.var_names for g in chosen["genes"]])
        np.testing.assert_array_equal(made.adata.raw.X.toarray(), raw.adata.X.toarray())
        assert slide.target.min() >= 0  # the slide that was given is left alone


def target(counts: list[int], panel: tuple[str, ...] = ("G0", "G1")) -> np.ndarray:
    genes = GENES[: len(counts)]
    var = pd.DataFrame({"symbol": genes}, index=pd.Index(genes))
    adata = AnnData(csr_matrix([counts]), obs=pd.DataFrame(index=["s"]), var=var, obsm={"spatial": np.zeros((1, 2))})
    slide = HighestMeanPanel().transform(Slide(adata, SECTION), {"genes": list(panel)})
    step = LogShare()
    return step.transform(slide, step.fit([slide])).target[0].astype(float)


SECTION = SlideInfo(id="S", patient="P", dataset="d")


def test_an_empty_spot_has_one_over_the_number_of_genes() -> None:
    assert target([0, 0, 0, 0, 0]) == pytest.approx([math.log(1 / 5)] * 2)


def test_counts_beyond_the_panel_lower_every_panel_target_equally() -> None:
    before, after = target([3, 9, 0, 1]), target([3, 9, 40, 1])

    np.testing.assert_allclose(after - before, math.log((4 + 13) / (4 + 53)), rtol=1e-5)


def test_a_known_expectation_is_treated_alike() -> None:
    slide = section(0)
    slide.adata.layers["expected"] = slide.adata.X.toarray() + np.float32(0.5)
    panel, share = HighestMeanPanel(4), LogShare()
    prepared = panel.transform(slide, panel.fit([slide]))

    made = share.transform(prepared, share.fit([prepared]))

    totals = np.array([[9 + all_counts(slide, spot)] for spot in range(12)])
    np.testing.assert_allclose(made.adata.layers["expected"], np.log((prepared.target + 1.5) / totals), rtol=1e-6)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[Slide]:
    return raw_slides(tmp_path_factory.mktemp("slides"), patients=3, sections=2, spots=49)


def test_spots_whose_window_leaves_the_image_are_dropped(slides: list[Slide]) -> None:
    slide = slides[0]
    width, height = slide.image.size
    kept = WholeWindow(2.0 * 100).transform(slide, {})  # 100 px

    inside = [min(round(x), round(y), width - round(x), height - round(y)) >= 50 for x, y in slide.centers_px]
    assert 0 < sum(inside) < 49
    assert list(kept.adata.obs_names) == list(slide.adata.obs_names[inside])


def test_a_window_that_just_fits_is_kept(slides: list[Slide]) -> None:
    first = slides[0].centers_px.min()  # 40 px from the edge

    assert WholeWindow(2 * first * 2.0).transform(slides[0], {}).n_spots == 49
    assert WholeWindow(2 * (first + 1) * 2.0).transform(slides[0], {}).n_spots < 49


def test_a_section_without_its_image_keeps_its_spots_for_the_panel() -> None:
    assert STNET_2020.filter(section(0)).n_spots == 12


def test_on_stnets_own_data_150_um_are_224_px_of_the_published_images(slides: list[Slide]) -> None:
    def seen(dataset: str) -> Slide:
        slide = slides[0]
        info = replace(slide.info, dataset=dataset, mpp=0.3, px_per_published_px=0.25)
        return STNET_2020.spot_steps[0].transform(Slide(slide.adata, info, slide.source), {})

    assert 150.0 / seen("stnet").mpp == pytest.approx(56)
    assert seen("other").mpp == 0.3


def infos(patients: dict[str, int]) -> list[SlideInfo]:
    return [SlideInfo(id=f"{p}_{n}", patient=p, dataset="stnet") for p, last in patients.items() for n in range(last)]


def test_each_of_23_patients_is_left_out_and_all_others_train() -> None:
    names = {f"BC{n}": 2 if n == 23901 else 3 for n in range(23890, 23913)}
    given = infos(names)

    folds = STNET_2020.folds(given[::-1])

    assert [fold.id for fold in folds] == sorted(names)
    for fold in folds:
        tested = {part.slide for part in fold.test}
        assert tested == {s.id for s in given if s.patient == fold.id}
        assert {part.slide for part in fold.train} == {s.id for s in given} - tested
        assert len(fold.train) + len(fold.test) == 68
        assert fold.validation == ()


def test_two_patients_train_on_whole_sections_and_one_is_refused() -> None:
    first, second = STNET_2020.folds(infos({"A": 2, "B": 1}))

    assert [part.block for part in (*first.train, *second.train)] == [None] * 3
    with pytest.raises(NotApplicable, match="stnet-2020 does not apply: leave-one-patient-out needs two patients"):
        STNET_2020.folds(infos({"A": 3}))


def test_only_the_clean_twin_never_looks_at_held_out_slides() -> None:
    assert [step.fit_on for step in STNET_2020.target_steps] == ["all", "all", "train"]
    assert {step.fit_on for step in STNET_2020_CLEAN.target_steps} == {"train"}
    assert all(fold.validation for fold in STNET_2020_CLEAN.folds(infos({"A": 1, "B": 1, "C": 1, "D": 1})))


@pytest.mark.parametrize("name", ["stnet-2020", "stnet-2020-clean"])
def test_the_protocol_keeps_its_contract(name: str, slides: list[Slide]) -> None:
    report = check_protocol(name, slides=slides)

    assert {o.status for o in report.outcomes} == {"passed"}
