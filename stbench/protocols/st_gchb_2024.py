"""ST-GCHB's task (Chi et al. 2024) on cortex sections, and a twin that leaves out the donor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stbench.errors import NotApplicable
from stbench.protocols.folds import Fold, Part, leave_one_patient_out
from stbench.protocols.protocol import Protocol
from stbench.protocols.steps import AnnotateGenes, FilterSpots, MarkGenes, NormalizeLog1p
from stbench.protocols.variable_genes import VariableGenesPanel
from stbench.slides import SlideInfo

SECTIONS = ("151669", "151670", "151673", "151674", "151675", "151676")
"""Two of one donor and four of another."""
MARKERS = ("ATP2B4", "RASGRF2", "LAMP5", "B3GALT2")


def leave_one_of_six_out(slides: Sequence[SlideInfo]) -> list[Fold]:
    """Each of the paper's six sections once, trained on those of the others that are here; none validates."""
    here = [name for name in SECTIONS if name in {slide.id for slide in slides if slide.dataset == "dlpfc"}]
    if len(here) < 2:
        raise NotApplicable(f"it is the task of dlpfc's sections {', '.join(SECTIONS)}, and needs two of them")
    return [Fold(name, tuple(Part(n) for n in here if n != name), (), (Part(name),)) for name in here]


ST_GCHB_2024 = Protocol(
    name="st-gchb-2024",
    version="1",
    spot_steps=(FilterSpots(min_counts=1),),
    target_steps=(
        NormalizeLog1p(target_sum=1e4),
        VariableGenesPanel(2000, also=MARKERS),
        AnnotateGenes(),
        MarkGenes(MARKERS),
    ),
    split=leave_one_of_six_out,
    headline="pcc_markers",
    declares=frozenset({"same_patient", "untested"}),  # neighbours of a section train; six of twelve are never tested
)

ST_GCHB_2024_CLEAN = replace(
    ST_GCHB_2024,
    name="st-gchb-2024-clean",
    split=leave_one_patient_out,
    headline="pcc",
    declares=frozenset(),
)
