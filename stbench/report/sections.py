"""Sections as they were tested: truth and out-of-fold predictions of every spot, read back from the store alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stbench.execution.stored import stored_prediction, stored_slide
from stbench.metrics.derived import gene_pcc
from stbench.report.scores import Scores
from stbench.report.variants import variant_key
from stbench.slides import Slide, SlideInfo
from stbench.slides.slide import LABELS
from stbench.stats import gene_moments
from stbench.store import RunRecord, Store
from stbench.store.record import TestSlide

Array = NDArray[np.float32]
Name = tuple[str, str, str]
"""Dataset, protocol and slide."""


@dataclass(frozen=True)
class Part:
    """What one fold tested of a section.

    Attributes
    ----------
    record
        A run that was scored on it.
    folders
        Folder of each variant's run that kept its predictions; of several seeds, the first.
    """

    test: TestSlide
    record: RunRecord
    folders: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A section, put together from the folds that tested its parts.

    Attributes
    ----------
    revision
        Of the dataset the runs were made on.
    part
        Number of the fold's part each spot was tested in, (spots,).
    regions
        Annotated region of each spot; None where there is none.
    truth, predictions
        (spots, genes) in the protocol's units, predictions by variant; NaN where not measured, not in the fold's panel
        or not predicted.
    """

    dataset: str
    protocol: str
    revision: str
    info: SlideInfo
    centers_px: NDArray[np.float64]
    part: NDArray[np.int64]
    regions: list[str | None]
    genes: list[str]
    truth: Array
    predictions: dict[str, Array]

    @property
    def n_parts(self) -> int:
        """Number of folds that tested it."""
        return int(self.part.max()) + 1

    def gene_pcc(self, variant: str) -> NDArray[np.float64]:
        """Pearson's r per gene inside each fold's part, mean over parts, (genes,); NaN where undefined."""
        predicted = self.predictions[variant]
        per_part = []
        for number in range(self.n_parts):
            rows = self.part == number
            counted = np.isfinite(self.truth[rows]) & np.isfinite(predicted[rows])
            truth, prediction = (np.where(counted, values[rows], np.float32(0)) for values in (self.truth, predicted))
            per_part.append(gene_pcc(gene_moments(truth, prediction, counted)))
        values = np.array(per_part)  # (parts, genes)
        n = np.isfinite(values).sum(axis=0)
        return np.where(n > 0, np.nansum(values, axis=0) / np.maximum(n, 1), np.nan)


def tested_sections(store: Store, scores: Scores) -> dict[Name, list[Part]]:
    """Which parts of which sections the runs of the leaderboard were scored on."""
    records = {record.run_id: (folder, record) for folder, record in store.records.items()}
    found: dict[Name, dict[str, Part]] = {}
    for run_id in scores.cells.sort("fold", "seed")["run_id"]:
        folder, record = records[run_id]
        cell = record.cell
        for test in record.test:
            parts = found.setdefault((cell.dataset, cell.protocol, test.slide), {})
            part = parts.setdefault(test.truth_key, Part(test, record))
            if "predictions.parquet" in record.files:
                part.folders.setdefault(variant_of(record), folder)
    return {name: list(parts.values()) for name, parts in sorted(found.items())}


def variant_of(record: RunRecord) -> str:
    """Key of the variant a run is of."""
    cell = record.cell
    return variant_key(
        {
            "model": cell.model,
            "distribution": cell.model_distribution,
            "params": cell.params,
            "precision": cell.precision,
        }
    )


def read_section(store: Store, parts: list[Part], variants: Collection[str]) -> Section:
    """Read a section's truth, and what `variants` predicted for it.

    Raises
    ------
    StoreError, OSError, pyarrow.ArrowException
        If what the store holds of it is damaged.
    """
    slides = [stored_slide(store.layout, part.record, part.test) for part in parts]
    genes = sorted({str(gene) for slide in slides for gene in slide.adata.var_names})
    seen: set[str] = set()
    kept = [_not_seen(slide, seen) for slide in slides]
    offered = {variant for part in parts for variant in part.folders}
    predictions = {
        variant: np.concatenate(
            [
                _predicted(part, slide, variant, genes)[rows]
                for part, slide, rows in zip(parts, slides, kept, strict=True)
            ]
        )
        for variant in variants
        if variant in offered
    }
    cell = parts[0].record.cell
    return Section(
        dataset=cell.dataset,
        protocol=cell.protocol,
        revision=cell.dataset_revision,
        info=slides[0].info,
        centers_px=np.concatenate([slide.centers_px[rows] for slide, rows in zip(slides, kept, strict=True)]),
        part=np.repeat(np.arange(len(parts)), [int(rows.sum()) for rows in kept]),
        regions=[r for slide, rows in zip(slides, kept, strict=True) for r in _regions(slide, rows)],
        genes=genes,
        truth=np.concatenate(
            [
                _spread(np.where(slide.measured, slide.target, np.float32(np.nan)), slide, genes)[rows]
                for slide, rows in zip(slides, kept, strict=True)
            ]
        ),
        predictions=predictions,
    )


def _not_seen(slide: Slide, seen: set[str]) -> NDArray[np.bool_]:
    """Spots that no earlier part has, (spots,)."""
    fresh = np.array([name not in seen for name in slide.adata.obs_names], bool)
    seen.update(slide.adata.obs_names)
    return fresh


def _regions(slide: Slide, rows: NDArray[np.bool_]) -> list[str | None]:
    if LABELS not in slide.adata.obs:
        return [None] * int(rows.sum())
    return [region if isinstance(region, str) else None for region in slide.adata.obs[LABELS][rows]]


def _predicted(part: Part, slide: Slide, variant: str, genes: list[str]) -> Array:
    if variant not in part.folders:
        return np.full((slide.n_spots, len(genes)), np.nan, np.float32)
    found = stored_prediction(part.folders[variant], part.test, slide)
    mean = found.mean if found.given is None else np.where(found.given, found.mean, np.float32(np.nan))
    return _spread(mean, slide, genes)


def _spread(values: Array, slide: Slide, genes: list[str]) -> Array:
    """Columns of the part's panel put in their places among `genes`, (spots, genes)."""
    spread = np.full((len(values), len(genes)), np.nan, np.float32)
    spread[:, np.searchsorted(genes, list(slide.adata.var_names))] = values
    return spread
