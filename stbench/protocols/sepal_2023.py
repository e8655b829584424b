"""SEPAL's task (Mejia et al. 2023) as its authors' code makes it, and a twin in which nothing looks at held-out slides.

The target is absolute log2 expression. SEPAL's deltas are it less the training mean, which every slide carries in
``var["train_mean"]``: a model that predicts deltas adds it back, as the authors' metrics do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stbench.errors import NotApplicable
from stbench.protocols.by_dataset import ByDataset
from stbench.protocols.combat import ComBat
from stbench.protocols.denoise import AdaptiveMedian
from stbench.protocols.expressed import ExpressedGenes, SpotCounts
from stbench.protocols.folds import FIFTHS, Block, Fold, Part, leave_one_patient_out, leave_one_section_out
from stbench.protocols.protocol import Protocol
from stbench.protocols.sepal_splits import STNET_TEST, STNET_TRAIN, STNET_VALIDATION
from stbench.protocols.steps import AnnotateGenes, FitOn, MoranPanel, Step
from stbench.protocols.tpm import Log2, PanelTPM
from stbench.slides import SlideInfo

N_GENES = 256
VISIUM, STNET = "visium", "stnet"
"""Data sets whose thresholds and split the authors state; all others get STNet's thresholds."""


def _genes(fit_on: FitOn) -> Step:
    return ByDataset(
        ((VISIUM, ExpressedGenes(1_000, 1_000_000, 0.8, 0.8, fit_on)),),
        otherwise=ExpressedGenes(1_000, 1_000_000, 0.01, 0.6, fit_on),
    )


def _target(fit_on: FitOn) -> tuple[Step, ...]:
    return (
        _genes(fit_on),
        PanelTPM(),
        Log2(),
        AdaptiveMedian(windows="rings", n_windows=7),
        MoranPanel(n_genes=N_GENES, min_detected=0.0, fit_on=fit_on),
    )


def authors_split(slides: Sequence[SlideInfo]) -> list[Fold]:
    """The authors' fixed split; leave one patient (else one section) out where they state none.

    On `visium` the validation section is the one that is reported: there is no other.
    """
    dataset = slides[0].dataset
    if dataset == VISIUM:
        train, test = _section(slides, "Section_1"), _section(slides, "Section_2")
        return [Fold("Section_2", train, test, test)]
    return _stnet_split(slides) if dataset == STNET else _leave_one_out(slides)


def clean_split(slides: Sequence[SlideInfo]) -> list[Fold]:
    """The same, with the last fifth of the training section as validation on `visium`."""
    dataset = slides[0].dataset
    if dataset == VISIUM:
        (train,), test = _section(slides, "Section_1"), _section(slides, "Section_2")
        last = 1 - 1 / FIFTHS
        outside, inside = Block("row", last, 1.0, keep="outside"), Block("row", last, 1.0)
        return [Fold("Section_2", (replace(train, block=outside),), (replace(train, block=inside),), test)]
    return _stnet_split(slides) if dataset == STNET else _leave_one_out(slides)


def _section(slides: Sequence[SlideInfo], name: str) -> tuple[Part, ...]:
    if name not in {slide.id for slide in slides}:
        raise NotApplicable(f"it trains on Section_1 and tests on Section_2; {name} is missing")
    return (Part(name),)


def _stnet_split(slides: Sequence[SlideInfo]) -> list[Fold]:
    def of(patients: Sequence[str]) -> tuple[Part, ...]:
        return tuple(Part(slide.id) for slide in sorted(slides, key=lambda s: s.id) if slide.patient in patients)

    train, test = of(STNET_TRAIN), of(STNET_TEST)
    if not (train and test):
        raise NotApplicable("the authors' split needs a training and a test patient of theirs")
    return [Fold("test", train, of(STNET_VALIDATION), test)]


def _leave_one_out(slides: Sequence[SlideInfo]) -> list[Fold]:
    try:
        return leave_one_patient_out(slides)
    except NotApplicable:
        return leave_one_section_out(slides)


SEPAL_2023 = Protocol(
    name="sepal-2023",
    version="1",
    spot_steps=(ByDataset(((VISIUM, SpotCounts(1_000, 100_000)),), otherwise=SpotCounts(700, 100_000)),),
    target_steps=(*_target("all"), ComBat(by="patient"), AnnotateGenes()),
    split=authors_split,
    headline="pcc_pooled",
    declares=frozenset({"same_patient", "untested", "validation_is_test"}),
)

SEPAL_2023_CLEAN = replace(
    SEPAL_2023,
    name="sepal-2023-clean",
    target_steps=(*_target("train"), AnnotateGenes()),
    split=clean_split,
    declares=frozenset({"same_patient", "untested"}),
)
