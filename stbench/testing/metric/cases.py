"""Slides to score: ordinary ones, and those on which a formula divides by zero."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stbench.slides import Slide

SPOTS = 40
"""Spots of the slide that cases are made on; a case has as many or fewer."""
CONSTANT = np.float32(0.1)
"""Not exact in binary: a mean over equal entries differs from them by rounding."""
EXACT = np.float32(0.25)

REGIONS = ("cortex", "medulla", "capsule")
LOUD = 8.0
"""What a region adds to its own genes: expression tells regions apart beyond doubt."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """What a metric is given.

    Attributes
    ----------
    truth, prediction, measured
        (spots, genes).
    slide
        The test slide without expression, with region labels.
    marks
        ``hvg50``, ``heg50`` and ``marker``, (genes,) bool each.
    """

    truth: Array
    prediction: Array
    measured: NDArray[np.bool_]
    slide: Slide
    marks: Mapping[str, NDArray[np.bool_]]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of spots and genes."""
        return len(self.truth), self.truth.shape[1]

    def with_spots(self, order: NDArray[np.int64]) -> Case:
        """Return the case with its spots in another order."""
        slide = self.slide.subset(order)
        return Case(self.truth[order], self.prediction[order], self.measured[order], slide, self.marks)

    def with_genes(self, order: NDArray[np.int64]) -> Case:
        """Return the case with its genes in another order."""
        marks = {name: mark[order] for name, mark in self.marks.items()}
        return Case(self.truth[:, order], self.prediction[:, order], self.measured[:, order], self.slide, marks)

    def predicted(self, prediction: Array | np.float32) -> Case:
        """Return the case with another prediction."""
        return replace(self, prediction=np.broadcast_to(prediction, self.shape).astype(np.float32))

    @property
    def digest(self) -> str:
        """Hash of all that a metric is given."""
        spots = self.slide.adata.obs.to_csv(), self.slide.centers_px.tobytes(), repr(self.slide.info)
        values = [a.tobytes() for a in (self.truth, self.prediction, self.measured)]
        return hashlib.sha256(repr((self.shape, spots, values)).encode()).hexdigest()

    def copied(self) -> Case:
        """Return the case with arrays of its own."""
        marks = {name: mark.copy() for name, mark in self.marks.items()}
        slide = self.slide.with_adata(self.slide.adata.copy())
        return Case(self.truth.copy(), self.prediction.copy(), self.measured.copy(), slide, marks)


def regions(spots: int) -> NDArray[np.object_]:
    """Label of each spot, in runs of three; one is undetermined, one is missing."""
    labels = np.array(REGIONS, object)[np.arange(spots) // 3 % len(REGIONS)]
    labels[5:6], labels[17:18] = "undetermined", None
    return labels


def ordinary(slide: Slide, spots: int = SPOTS, genes: int = 12) -> Case:
    """Return a case with a prediction that is neither perfect nor useless, everything measured.

    A third of the genes belongs to each region; elsewhere they are low, and often zero.
    """
    rng = np.random.default_rng((spots, genes))
    low = rng.gamma(2.0, rng.uniform(0.2, 1.5, genes), (spots, genes)) * (rng.uniform(size=(spots, genes)) > 0.3)
    own = np.arange(spots)[:, None] // 3 % len(REGIONS) == np.arange(genes) % len(REGIONS)
    truth = (low + LOUD * own).astype(np.float32)
    prediction = (0.6 * truth + rng.gamma(1.0, 0.5, truth.shape)).astype(np.float32)
    nth = np.arange(genes)
    marks = {"hvg50": nth <= genes // 2, "heg50": nth >= genes // 2, "marker": nth % 2 == 0}
    return Case(truth, prediction, np.ones(truth.shape, bool), slide.subset(np.arange(spots)), marks)


def with_holes(case: Case) -> Case:
    """Return the case with a fifth of its entries not measured: truth 0 there, as a protocol leaves it."""
    measured = np.random.default_rng(1).uniform(size=case.shape) >= 0.2
    return replace(case, measured=measured, truth=np.where(measured, case.truth, np.float32(0)))


def constants(case: Case) -> dict[str, Case]:
    """Cases where truth, prediction or both do not vary."""
    first = np.arange(case.shape[1]) == 0
    return {
        "a gene of constant truth": replace(case, truth=np.where(first, CONSTANT, case.truth)),
        "a gene of constant prediction": case.predicted(np.where(first, CONSTANT, case.prediction)),
        "constant truth": replace(case, truth=np.full_like(case.truth, CONSTANT)),
        "a constant prediction": case.predicted(CONSTANT),
        "each gene predicted by its mean": case.predicted(case.truth.mean(0)),
        "a prediction of zeros": case.predicted(np.float32(0)),
        "constant truth and prediction": replace(case, truth=np.full_like(case.truth, CONSTANT)).predicted(CONSTANT),
        "truth and prediction of zeros": replace(case, truth=np.zeros_like(case.truth)).predicted(np.float32(0)),
    }


def alike_constants(case: Case) -> list[tuple[str, Case, Case]]:
    """Pairs of cases that are constant alike, with a value that is exact in binary and with one that is not."""
    exact, inexact = (replace(case, truth=np.full_like(case.truth, value)) for value in (EXACT, CONSTANT))
    return [("prediction", case.predicted(EXACT), case.predicted(CONSTANT)), ("truth", exact, inexact)]


def nearly_empty(slide: Slide) -> dict[str, Case]:
    """Cases with too little to compute anything from."""
    case = ordinary(slide)
    spot, gene = (np.arange(n) == 0 for n in case.shape)
    return {
        "one spot": ordinary(slide, spots=1),
        "one gene": ordinary(slide, genes=1),
        "a gene that was never measured": replace(case, measured=np.broadcast_to(~gene, case.shape).copy()),
        "a spot where nothing was measured": replace(case, measured=np.broadcast_to(~spot[:, None], case.shape).copy()),
        "nothing measured": replace(case, measured=np.zeros(case.shape, bool)),
        "a slide without region labels": replace(case, slide=case.slide.without_expression()),
        "a slide of one region": replace(case, slide=_of_one_region(case.slide)),
        "a slide without a grid": replace(case, slide=_without_grid(case.slide)),
    }


def _of_one_region(slide: Slide) -> Slide:
    one = slide.without_expression()
    one.adata.obs["region"] = REGIONS[0]
    return one


def _without_grid(slide: Slide) -> Slide:
    return Slide(slide.adata, replace(slide.info, grid="none"), slide.source, slide.rows)
