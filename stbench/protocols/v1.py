"""The headline protocol, its two relatives for fewer patients and slides, and the one that asks for regions."""

from __future__ import annotations

from dataclasses import replace

from stbench.protocols.folds import (
    fifths,
    leave_one_annotated_patient_out,
    leave_one_patient_out,
    leave_one_section_out,
)
from stbench.protocols.protocol import Protocol
from stbench.protocols.steps import AnnotateGenes, DropMasked, FilterSpots, MoranPanel, NormalizeLog1p

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
    split=leave_one_section_out,
    declares=frozenset({"same_patient"}),
    alternative=STBENCH_BLOCKS_V1,
)

STBENCH_V1 = replace(
    STBENCH_SECTION_V1,
    name="stbench-v1",
    split=leave_one_patient_out,
    declares=frozenset(),
    alternative=STBENCH_SECTION_V1,
)

STBENCH_REGIONS_V1 = replace(
    STBENCH_V1,
    name="stbench-regions-v1",
    split=leave_one_annotated_patient_out,
    headline="ari_kmeans",
    declares=frozenset({"untested"}),  # slides without annotation
    alternative=None,
)
"""Whether the regions that a pathologist drew are found in what was predicted for patients that were never seen.

The target is that of `STBENCH_V1`; models see no label, in training or at the test.
"""
