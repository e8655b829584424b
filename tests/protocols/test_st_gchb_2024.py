from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
import scanpy as sc

from stbench.errors import DataError, NotApplicable
from stbench.protocols.st_gchb_2024 import MARKERS, SECTIONS, ST_GCHB_2024, ST_GCHB_2024_CLEAN
from stbench.protocols.steps import NormalizeLog1p
from stbench.protocols.variable_genes import VariableGenesPanel
from stbench.slides import Slide, SlideInfo
from stbench.testing.protocol.counts import raw_slides


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[Slide]:
    """Log-normalised slides of three patients."""
    raw = raw_slides(tmp_path_factory.mktemp("raw"), patients=3, sections=1, genes=40)
    return [NormalizeLog1p().transform(slide, {}) for slide in raw]


def infos(names: str, dataset: str = "dlpfc") -> list[SlideInfo]:
    return [SlideInfo(id=name, patient="Br", dataset=dataset) for name in names.split()]


def test_each_of_the_six_sections_is_tested_once() -> None:
    folds = ST_GCHB_2024.folds(infos("151507 151669 151670 151673 151674 151675 151676"))

    assert [fold.id for fold in folds] == list(SECTIONS)
    for fold in folds:
        assert [part.slide for part in fold.test] == [fold.id]
        assert [part.slide for part in fold.train] == [name for name in SECTIONS if name != fold.id]
        assert fold.validation == ()


@pytest.mark.parametrize(("names", "dataset"), [("151507 151669", "dlpfc"), (" ".join(SECTIONS), "other")])
def test_it_is_the_task_of_these_sections(names: str, dataset: str) -> None:
    with pytest.raises(NotApplicable, match=r"it is the task of dlpfc's sections 151669, .* needs two of them"):
        ST_GCHB_2024.folds(infos(names, dataset))


def test_the_panel_is_scanpys_choice_section_by_section(slides: list[Slide]) -> None:
    state = VariableGenesPanel(12).fit(slides)

    together = anndata.concat({s.info.id: s.adata for s in slides}, label="section", index_unique="-")
    sc.pp.highly_variable_genes(together, n_top_genes=12, batch_key="section")
    assert state["genes"] == list(together.var_names[together.var["highly_variable"]])
    assert len(state["genes"]) == 12


def test_markers_are_in_the_panel_whatever_their_rank(slides: list[Slide]) -> None:
    genes = VariableGenesPanel(5).fit(slides)["genes"]
    left_out = [gene for gene in slides[0].adata.var_names if gene not in genes][:2]

    found = VariableGenesPanel(5, also=(*left_out, "NOWHERE")).fit(slides)["genes"]

    assert set(found) == {*genes, *left_out}


def test_one_slide_has_variable_genes_too(slides: list[Slide]) -> None:
    assert len(VariableGenesPanel(7).fit(slides[:1])["genes"]) == 7
    assert len(VariableGenesPanel(2000).fit(slides)["genes"]) == slides[0].adata.n_vars


def test_slides_without_a_gene_in_common(slides: list[Slide]) -> None:
    renamed = slides[1].adata.copy()
    renamed.var_names = [f"other-{name}" for name in renamed.var_names]

    with pytest.raises(DataError, match="no gene is measured in all 2 slides"):
        VariableGenesPanel().fit([slides[0], slides[1].with_adata(renamed)])


def test_markers_are_marked_and_the_target_is_the_logarithm(tmp_path: Path) -> None:
    raw = raw_slides(tmp_path, patients=3, sections=1, genes=40)
    for slide in raw:
        slide.adata.var["symbol"] = [*MARKERS, *slide.adata.var["symbol"][len(MARKERS) :]]
    filtered = [ST_GCHB_2024_CLEAN.filter(slide) for slide in raw]

    fitted = ST_GCHB_2024_CLEAN.fit(filtered[:2])
    test = fitted.transform(filtered[2])

    marked = test.adata.var["symbol"][test.adata.var["marker"]]
    assert sorted(marked) == sorted(MARKERS)
    expected = NormalizeLog1p().transform(filtered[2], {}).adata[:, test.adata.var_names].X
    np.testing.assert_allclose(test.target, expected.toarray(), rtol=1e-6)
