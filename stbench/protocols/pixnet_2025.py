"""PixNet's task (arXiv 2503.01347, version 1) on slides of any spot size, and a twin in which nothing leaks.

The paper takes preprocessing and folds from others and says little of either. Of those, SGN's code splits sections by
``KFold(3, shuffle=True, random_state=12345)``, which two sections cannot be split by: they are left out in turn. Bin
sizes of a section are left out together. What is too shallow to predict is not said: a bin of 2 µm without a count has
no target, and larger ones need a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stbench.errors import NotApplicable
from stbench.protocols.enough_counts import EnoughPanelCounts
from stbench.protocols.folds import Fold, leave_groups_out, leave_one_patient_out
from stbench.protocols.highest_mean import HighestMeanPanel
from stbench.protocols.panel_log1p import PanelLog1p
from stbench.protocols.protocol import Protocol
from stbench.protocols.steps import AnnotateGenes, FilterSpots, FitOn, Step
from stbench.slides import SlideInfo

N_GENES = 250
LEAST_COUNTS = ((2.0, 1), (8.0, 10), (16.0, 20))
"""Counts of the panel that a bin needs, by its size in µm; spots need those of the largest bin."""
N_FOLDS, SEED = 3, 12345
"""Of SGN's split."""


def three_folds(slides: Sequence[SlideInfo]) -> list[Fold]:
    """SGN's folds over the sections by name: three, or as many as there are sections."""
    sections = sorted({slide.image_id or slide.id for slide in slides})
    if len(sections) < 2:
        raise NotApplicable("leaving sections out needs two")
    n = min(N_FOLDS, len(sections))
    groups = {f"fold-{i + 1}": [sections[k] for k in held_out] for i, held_out in enumerate(_kfold(len(sections), n))}
    return leave_groups_out(slides, lambda slide: slide.image_id or slide.id, groups)


def _kfold(n_sections: int, n: int) -> list[list[int]]:
    """What scikit-learn's ``KFold`` holds out, without loading it to plan."""
    import numpy as np

    shuffled = np.random.RandomState(SEED).permutation(n_sections)
    return [sorted(int(k) for k in part) for part in np.array_split(shuffled, n)]


def _target(fit_on: FitOn) -> tuple[Step, ...]:
    return (HighestMeanPanel(N_GENES, fit_on), EnoughPanelCounts(LEAST_COUNTS), PanelLog1p(1e4), AnnotateGenes())


PIXNET_2025 = Protocol(
    name="pixnet-2025",
    version="1",
    spot_steps=(FilterSpots(min_counts=1),),
    target_steps=_target("all"),
    split=three_folds,
    declares=frozenset({"same_patient"}),
)

PIXNET_2025_CLEAN = replace(
    PIXNET_2025,
    name="pixnet-2025-clean",
    target_steps=_target("train"),
    split=leave_one_patient_out,
    declares=frozenset(),
)
