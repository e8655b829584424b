"""histogene-2021 against the published panels, the published folds and the crops its authors' code cuts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stbench.datasets import DatasetContext
from stbench.datasets.her2st import Her2st
from stbench.datasets.simulated.dataset import Simulated
from stbench.errors import DataError, NotApplicable
from stbench.matrix.tasks import overlaps
from stbench.protocols import FittedProtocol
from stbench.protocols.histogene_2021 import HISTOGENE_2021, SECTIONS, PanelLog10, PublishedPanel
from stbench.slides import Slide, SlideInfo
from stbench.slides.patches import cut_patches

WITH_IMAGE = ["A2", "B4", "C2", "C3", "C4", "C5"]  # and A1, which is never tested


@pytest.fixture(scope="module")
def her2st(test_data: Path, cache_dir: Path) -> Her2st:
    return Her2st(DatasetContext(cache_dir, test_data))


@pytest.fixture(scope="module")
def every_section(her2st: Her2st) -> list[Slide]:
    return [HISTOGENE_2021.filter(her2st.load(info.id)) for info in her2st.slides()]


@pytest.fixture(scope="module")
def fitted(every_section: list[Slide]) -> FittedProtocol:
    train = [slide for slide in every_section if slide.info.id in ("B4", "C3")]
    return HISTOGENE_2021.fit(train, lambda: every_section)


def section(counts: list[list[int]]) -> Slide:
    """Two genes of the panel, any spots."""
    adata = AnnData(np.array(counts, np.float32), obs=pd.DataFrame(index=[f"s{i}" for i in range(len(counts))]))
    adata.obsm["spatial"] = np.zeros((len(counts), 2))
    return Slide(adata, SlideInfo(id="A2", patient="A", dataset="her2st"))


def test_the_panel_is_the_published_one(fitted: FittedProtocol, test_data: Path) -> None:
    published = (test_data / "reference" / "her2st_panel_785.txt").read_text().split()

    assert len(fitted.states[0]["genes"]) == len(published) == 785
    assert set(fitted.states[0]["genes"]) == set(published)


def test_the_panel_needs_all_36_count_matrices(every_section: list[Slide]) -> None:
    some = [slide for slide in every_section if slide.info.id not in ("D3", "H1")]

    with pytest.raises(DataError, match=r"from all 36 count matrices; missing: D3, H1\. Put them into ST-cnts/"):
        PublishedPanel().fit(some)


def test_only_the_panel_looks_at_tested_sections() -> None:
    steps = (*HISTOGENE_2021.spot_steps, *HISTOGENE_2021.target_steps)

    assert {type(s).__name__: s.fit_on for s in steps} == {
        "SpotFilePixels": "none",
        "ByDataset": "all",  # PublishedPanel, GivenPanel
        "PanelLog10": "none",
        "AnnotateGenes": "train",
    }


def test_the_published_folds_are_a2_to_g3_without_validation(her2st: Her2st) -> None:
    folds = HISTOGENE_2021.complete_folds(her2st.slides())

    ids = [fold.id for fold in folds]
    assert len(ids) == 32
    assert (ids[0], ids[5], ids[31]) == ("A2", "B1", "G3")
    assert ids == sorted(ids)
    assert not {"A1", "H1", "H2", "H3"} & set(ids)
    for fold in folds:
        assert [part.slide for part in fold.test] == [fold.id]
        assert [part.slide for part in fold.train] == [other for other in ids if other != fold.id]
        assert fold.validation == ()


def test_six_folds_can_run_with_the_images_at_hand(her2st: Her2st) -> None:
    folds = HISTOGENE_2021.folds(her2st.slides())

    assert [fold.id for fold in folds] == WITH_IMAGE
    assert [part.slide for part in folds[2].train] == ["A2", "B4", "C3", "C4", "C5"]


def test_patients_are_shared_between_train_and_test_and_the_protocol_says_so(her2st: Her2st) -> None:
    infos = {info.id: info for info in her2st.slides()}

    shared = {kind for fold in HISTOGENE_2021.complete_folds(her2st.slides()) for kind in overlaps(fold, infos)}

    assert shared == HISTOGENE_2021.declares - {"untested"} == {"same_patient"}
    assert HISTOGENE_2021.headline == "pcc_slide"


def test_other_data_sets_are_refused(cache_dir: Path, her2st: Her2st) -> None:
    message = r"it is the task of the HER2\+ sections A2 to G3 and of cscc's 12, and needs two of them"

    with pytest.raises(NotApplicable, match=message):
        HISTOGENE_2021.folds(Simulated(DatasetContext(cache_dir)).slides())
    alone = [replace(info, has_image=info.id in ("A1", "A2")) for info in her2st.slides()]
    with pytest.raises(NotApplicable, match=message):
        HISTOGENE_2021.folds(alone)


def test_the_target_is_log10_of_the_share_of_the_panel(her2st: Her2st, fitted: FittedProtocol) -> None:
    slide = her2st.load("C2")
    panel = fitted.states[0]["genes"]

    prepared = fitted.transform(HISTOGENE_2021.filter(slide))

    counts = slide.adata[:, panel].X.toarray().astype(float)
    for spot in range(0, slide.n_spots, 20):
        total = sum(counts[spot])
        expected = [np.log10(1 + 1e4 * count / total) for count in counts[spot]]
        np.testing.assert_allclose(prepared.target[spot], expected, rtol=1e-5)
    assert prepared.n_spots == slide.n_spots == 187  # no spot is filtered out
    assert list(prepared.adata.var_names) == panel
    assert prepared.measured.all()


def test_genes_are_annotated_from_the_training_sections(her2st: Her2st, fitted: FittedProtocol) -> None:
    train = np.concatenate([fitted.transform(HISTOGENE_2021.filter(her2st.load(s))).target for s in ("B4", "C3")])
    tested = fitted.transform(HISTOGENE_2021.filter(her2st.load("C2")))

    assert tested.adata.var["train_mean"].to_numpy() == pytest.approx(train.mean(0), rel=1e-4)
    assert tested.adata.var["hvg50"].sum() == tested.adata.var["heg50"].sum() == 50


def test_a_spot_without_panel_counts_stays_0() -> None:
    slide = section([[0, 0], [1, 3]])

    prepared = PanelLog10().transform(slide, {})

    assert prepared.target[0].tolist() == [0, 0]
    assert prepared.target[1] == pytest.approx(np.log10([2501, 7501]))


def test_patches_are_the_slices_the_authors_cut(her2st: Her2st) -> None:
    slide = HISTOGENE_2021.filter(her2st.load("C2"))

    patches = slide.patches(pixels=112, microns=76.8)

    assert 76.8 / slide.mpp == 112
    for spot, (x, y) in enumerate(np.floor(slide.centers_px).astype(int)):
        np.testing.assert_array_equal(patches[spot], slide.image.read(x - 56, y - 56, 112, 112))
    assert slide.info.mpp_source == "0.6857 µm per pixel of the spot file, by protocol"


def test_a_reduced_image_gives_the_same_tissue(her2st: Her2st) -> None:
    slide = HISTOGENE_2021.filter(her2st.load("A2"))

    patches = slide.patches(pixels=112, microns=76.8)

    assert 76.8 / slide.mpp == pytest.approx(112 * 0.287109)
    some = slice(None, None, 40)
    expected = cut_patches(slide.image, slide.centers_px[some], 112 * 0.287109, 112)
    np.testing.assert_allclose(patches[some].astype(int), expected.astype(int), atol=1)


def test_all_sections_are_named() -> None:
    assert len(SECTIONS) == 36
    assert sorted(SECTIONS) == list(SECTIONS)
