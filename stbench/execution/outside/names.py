"""Matching the names in a file of predictions with a fold's spots and genes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stbench.datasets import DatasetContext
from stbench.errors import DataError
from stbench.execution.outside.table import Names, PredictionTable, few
from stbench.execution.pivot import pivot
from stbench.execution.predicted import Predicted
from stbench.execution.prepare import fit_protocol, load_parts, load_protocol, open_dataset
from stbench.matrix import FoldTask
from stbench.registry import Registry

REMEDY = "`stbench task` writes the names"


@dataclass(frozen=True)
class Expected:
    """What a fold asks for: the panel, and the spots of each test slide."""

    genes: list[str]
    spots: dict[str, list[str]]


def expected_names(task: FoldTask, registry: Registry, context: DatasetContext) -> Expected:
    """Prepare a fold's test slides, for their names."""
    protocol, dataset = load_protocol(task, registry), open_dataset(task, registry, context)
    fitted = fit_protocol(task, protocol, dataset)
    genes: list[str] = []
    spots: dict[str, list[str]] = {}
    for slide in map(fitted.transform, load_parts(task.fold, protocol, dataset, ("test",)).test):
        genes = list(slide.adata.var_names)
        spots.setdefault(slide.info.id, []).extend(slide.adata.obs_names)  # a slide may be tested in several parts
    return Expected(genes, spots)


def check_names(table: PredictionTable, fold: str, expected: Expected) -> None:
    """Refuse what a fold does not ask for.

    Raises
    ------
    DataError
        Slides, spots or genes that are not the fold's, or two rows for one spot and gene.
    """
    where = f"{table.path}, fold {fold}"
    strange = [slide for slide in table.slides(fold) if slide not in expected.spots]
    if strange:
        raise DataError(
            f"{where}: {len(strange)} slides are no test slides of this fold ({few(strange)}); "
            f"it tests {few(list(expected.spots))}; {REMEDY}"
        )
    for slide in table.slides(fold):
        rows, spots = table.rows(fold, slide), expected.spots[slide]
        spot = _known(table.spot, rows, spots, f"{where}, slide {slide}", "spots", "test spots")
        gene = _known(table.gene, rows, expected.genes, f"{where}, slide {slide}", "genes", "genes of the panel")
        _, given = pivot(spot, gene, table.y_pred[rows], (len(spots), len(expected.genes)))
        if repeated := len(rows) - int(given.sum()):
            entry = spot * len(expected.genes) + gene
            first = int(np.flatnonzero(np.bincount(entry) > 1)[0])
            name = f"spot {spots[first // len(expected.genes)]}, gene {expected.genes[first % len(expected.genes)]}"
            raise DataError(
                f"{where}, slide {slide}: {repeated:,} rows repeat a spot and gene (the first: {name}); "
                "keep one row each, of one model and seed"
            )


def align(table: PredictionTable, fold: str, slide: str, spots: list[str], genes: list[str]) -> Predicted:
    """Predictions of one slide, (spots, genes), and where there are none."""
    rows = table.rows(fold, slide)
    spot, gene = table.spot.positions(rows, spots), table.gene.positions(rows, genes)
    here = spot >= 0  # others belong to another part of the slide
    rows, spot, gene = rows[here], spot[here], gene[here]
    shape = (len(spots), len(genes))
    mean, given = pivot(spot, gene, table.y_pred[rows], shape)
    std = None
    if table.y_std is not None:
        std, _ = pivot(spot, gene, table.y_std[rows], shape, empty=np.nan)
    return Predicted(mean, std, None if given.all() else given)


def _known(
    names: Names, rows: NDArray[np.int64], wanted: list[str], where: str, what: str, of_what: str
) -> NDArray[np.int64]:
    positions = names.positions(rows, wanted)
    strange = names.used(rows[positions < 0])
    if strange:
        raise DataError(
            f"{where}: {len(strange):,} {what} are none of its {len(wanted):,} {of_what} ({few(strange)}); {REMEDY}"
        )
    return positions
