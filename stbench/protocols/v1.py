"""The headline protocol and its two relatives for fewer patients and slides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stbench.errors import NotApplicable
from stbench.protocols.folds import Fold, fifths, leave_one_out
from stbench.protocols.protocol import Protocol
from stbench.protocols.steps import AnnotateGenes, DropMasked, FilterSpots, MoranPanel, NormalizeLog1p
from stbench.slides import SlideInfo


def _by_patient(slides: Sequence[SlideInfo]) -> list[Fold]:
    try:
        return leave_one_out(slides, lambda s: s.patient)
    except NotApplicable:
        raise NotApplicable("leave-one-patient-out needs two patients") from None


def _by_section(slides: Sequence[SlideInfo]) -> list[Fold]:
    # bin sizes of one section share its image and are left out together
    try:
        return leave_one_out(slides, lambda s: s.image_id or s.id)
    except NotApplicable:
        raise NotApplicable("leave-one-section-out needs two slides") from None


STBENCH_BLOCKS_V1 = Protocol(
    name="stbench-blocks-v1",
    version="1",
    spot_steps=(FilterSpots(min_counts=100), DropMasked()),
    target_steps=(NormalizeLog1p(target_sum=1e4), MoranPanel(n_genes=250, min_detected=0.10), AnnotateGenes()),
    split=fifths,
    declares=frozenset({"same_patient", "same_image", "same_slide"}),
)

STBENCH_SECTION_V1 = replace(
    STBENCH_BLOCKS_V1,
    name="stbench-section-v1",
    split=_by_section,
    declares=frozenset({"same_patient"}),
    alternative=STBENCH_BLOCKS_V1,
)

STBENCH_V1 = replace(
    STBENCH_SECTION_V1,
    name="stbench-v1",
    split=_by_patient,
    declares=frozenset(),
    alternative=STBENCH_SECTION_V1,
)
