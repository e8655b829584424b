"""HisToGene's task on HER2+ and cSCC sections, as its authors' code defines it (also Hist2ST, THItoGene, HGGEP).

On HER2+ the panel is computed by the recipe that gives the authors' 785 genes. For cSCC no recipe is known: their 171
genes are the file ``skin_hvg_cut_1000.npy`` of Hist2ST, THItoGene and HGGEP, which stbench does not ship. Put it, or
``skin_hvg_cut_1000.txt`` with one gene a line, beside the data (`stbench.datasets.cscc.CSCC` says where). Being a file
of the data set it is part of its revision: runs with another list are other runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from stbench.errors import DataError, NotApplicable
from stbench.protocols.by_dataset import ByDataset
from stbench.protocols.folds import Fold, Part
from stbench.protocols.given_panel import GivenPanel
from stbench.protocols.protocol import Need, Protocol
from stbench.protocols.steps import AnnotateGenes, FitOn, State, Unfitted, select_panel
from stbench.slides import Slide, SlideInfo

SECTIONS = tuple(
    f"{patient}{n}"
    for patient, last in zip("ABCDEFGH", (6, 6, 6, 6, 3, 3, 3, 3), strict=True)
    for n in range(1, last + 1)
)
"""All 36 sections, A1 to H3."""

USED = SECTIONS[1:33]
"""The 32 that are trained and tested on, A2 to G3: fold f tests ``USED[f]``."""

NOMINAL_MPP = 76.8 / 112
"""µm per pixel of the spot file that the task takes for granted: 112 px are 76.8 µm on every section."""


CSCC = "cscc"
CSCC_SECTIONS = tuple(f"P{patient}_ST_rep{n}" for patient in (2, 5, 9, 10) for n in (1, 2, 3))
"""All 12 sections of cSCC: fold f tests ``CSCC_SECTIONS[f]``."""

CSCC_PANEL = ("skin_hvg_cut_1000.npy", "skin_hvg_cut_1000.txt")
PUT_PANEL = (
    "put skin_hvg_cut_1000.npy, which the repositories of Hist2ST, THItoGene and HGGEP have in data/, or its 171 genes "
    "one a line in skin_hvg_cut_1000.txt, into the data set's folder and run the command again, or use -p stbench-v1"
)


@dataclass(frozen=True)
class SpotFilePixels(Unfitted):
    """Measure tissue in pixels of the published spot files, whatever the section's true scale.

    The published crops are 112 px at each section's own magnification. On a rescaled image the same tissue is cut.
    """

    nominal_mpp: float = NOMINAL_MPP

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with its scale restated."""
        mpp = self.nominal_mpp / slide.info.px_per_published_px
        source = f"{self.nominal_mpp:.4f} µm per pixel of the spot file, by protocol"
        return Slide(slide.adata, replace(slide.info, mpp=mpp, mpp_source=source), slide.source, slide.rows)


@dataclass(frozen=True)
class PublishedPanel:
    """The 785 genes: highly variable in section A1, present in all 36 sections, seen in 1,000 spots of the 32 used.

    Its fit looks at every section, tested ones too: a leak the paper has, which enters the ledger.
    """

    fit_on: ClassVar[FitOn] = "all"

    section: str = "A1"
    n_top_genes: int = 1500
    min_spots: int = 1000

    def fit(self, slides: Sequence[Slide]) -> State:
        """Choose the panel from the count matrices of all sections.

        Raises
        ------
        DataError
            If a section's counts are missing.
        """
        import scanpy as sc
        from anndata import AnnData

        by_id = {slide.info.id: slide.adata for slide in slides}
        missing = [s for s in SECTIONS if s not in by_id]
        if missing:
            raise DataError(
                f"histogene-2021 chooses its panel from all 36 count matrices; missing: {', '.join(missing)}. "
                "Put them into ST-cnts/ and their spot files into ST-spotfiles/"
            )
        first = by_id[self.section]
        scratch = AnnData(first.X.astype(np.float32), var=first.var[[]].copy())
        sc.pp.normalize_total(scratch)
        sc.pp.log1p(scratch)
        sc.pp.highly_variable_genes(scratch, flavor="seurat", n_top_genes=self.n_top_genes)
        everywhere = set(first.var_names).intersection(*(by_id[s].var_names for s in SECTIONS))
        genes = [g for g in scratch.var_names[scratch.var["highly_variable"]] if g in everywhere]
        spots = np.sum([np.asarray((by_id[s][:, genes].X > 0).sum(0)).ravel() for s in USED], axis=0)
        return {"genes": [g for g, n in zip(genes, spots, strict=True) if n >= self.min_spots]}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with the panel's counts."""
        return select_panel(slide, state["genes"])


@dataclass(frozen=True)
class PanelLog10(Unfitted):
    """log10(1 + 10⁴·c/Σ c) with the sum over the panel; spots without panel counts stay 0."""

    target_sum: float = 1e4

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide in target units."""
        adata = slide.adata.copy()
        counts = np.asarray(adata.X, np.float64)
        total = counts.sum(1, keepdims=True)
        share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
        adata.X = np.log10(1 + self.target_sum * share).astype(np.float32)
        return slide.with_adata(adata)


def leave_one_section_out(slides: Sequence[SlideInfo]) -> list[Fold]:
    """32 folds, A2 to G3, or the 12 of cSCC; no validation, as published."""
    used = CSCC_SECTIONS if slides[0].dataset == CSCC else USED
    names = {slide.id for slide in slides}
    here = [section for section in used if section in names]
    if len(here) < 2:
        raise NotApplicable("it is the task of the HER2+ sections A2 to G3 and of cscc's 12, and needs two of them")
    return [Fold(tested, tuple(Part(s) for s in here if s != tested), (), (Part(tested),)) for tested in here]


HISTOGENE_2021 = Protocol(
    name="histogene-2021",
    version="1",
    spot_steps=(SpotFilePixels(),),
    target_steps=(
        ByDataset(((CSCC, GivenPanel(PUT_PANEL)),), otherwise=PublishedPanel()),
        PanelLog10(),
        AnnotateGenes(),
    ),
    split=leave_one_section_out,
    headline="pcc_slide",
    declares=frozenset({"same_patient", "untested"}),  # A1 and H1 to H3
    needs=(Need(CSCC, CSCC_PANEL, PUT_PANEL),),
)
