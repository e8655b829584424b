"""ST-Net's task (He et al. 2020) as its authors' code makes it, and a twin that never looks at held-out slides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stbench.protocols.by_dataset import AsLoaded, ByDataset
from stbench.protocols.folds import Fold, Part, leave_one_patient_out
from stbench.protocols.highest_mean import HighestMeanPanel
from stbench.protocols.histogene_2021 import SpotFilePixels
from stbench.protocols.log_share import LogShare
from stbench.protocols.protocol import Protocol
from stbench.protocols.steps import AnnotateGenes, FitOn, Step
from stbench.protocols.whole_window import WholeWindow
from stbench.slides import SlideInfo

N_GENES = 250
WINDOW_UM = 150.0
NOMINAL_MPP = WINDOW_UM / 224
"""µm per pixel that the paper takes for granted on its own data: the code's windows of 224 px show about 150 µm."""


def all_others_train(slides: Sequence[SlideInfo]) -> list[Fold]:
    """Leave one patient out; all other patients train, none validates, as published."""
    names = sorted(slide.id for slide in slides)
    return [
        replace(fold, train=tuple(Part(name) for name in names if Part(name) not in fold.test), validation=())
        for fold in leave_one_patient_out(slides)
    ]


def _target(fit_on: FitOn) -> tuple[Step, ...]:
    return (HighestMeanPanel(N_GENES, fit_on), LogShare(fit_on), AnnotateGenes())


STNET_2020 = Protocol(
    name="stnet-2020",
    version="1",
    spot_steps=(ByDataset((("stnet", SpotFilePixels(NOMINAL_MPP)),), otherwise=AsLoaded()), WholeWindow(WINDOW_UM)),
    target_steps=_target("all"),
    split=all_others_train,
    # The authors correlate each gene over all sections of the patient left out, then take the median over patients
    # per gene. A fold is a patient: r over its spots together is their number, reduced by means instead of medians.
    # `pcc_median` is a median over genes, and `pcc` is taken section by section.
    headline="pcc_pooled",
)

STNET_2020_CLEAN = replace(
    STNET_2020, name="stnet-2020-clean", target_steps=_target("train"), split=leave_one_patient_out
)
