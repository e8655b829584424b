"""Steps of a protocol: fit on the training parts, transform any slide. A step's state is plain JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from stbench.errors import DataError
from stbench.slides import Slide
from stbench.stats import morans_i

State = dict[str, Any]

AT_ONCE, ROWS_AT_ONCE = 2**20, 2**16
"""Counts, and spots, of a large slide that are worked on together."""

TOTAL = "total_counts"
"""Column of ``obs``, as scanpy calls it."""
FitOn = Literal["none", "train", "all"]


class Step(Protocol):
    """One declarative step.

    `fit_on` says which slides its fit sees: ``none`` (nothing is learnt), ``train``, or ``all`` (a leak that
    enters the ledger). A step that changes measured values of the truth itself (imputes, smooths, corrects batches) has
    an attribute ``modifies_truth = True``, which enters the ledger too.
    """

    @property
    def fit_on(self) -> FitOn:
        """Which slides `fit` is given."""
        ...

    def fit(self, slides: Sequence[Slide]) -> State:
        """Learn from slides; the state is JSON and enters the truth key."""
        ...

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide after this step."""
        ...


class Unfitted:
    """A step that learns nothing."""

    fit_on: ClassVar[FitOn] = "none"

    def fit(self, slides: Sequence[Slide]) -> State:
        """Learn nothing."""
        return {}


@dataclass(frozen=True)
class FilterSpots(Unfitted):
    """Keep spots in tissue (``obs["in_tissue"]`` where given) with at least `min_counts` counts."""

    min_counts: int = 100

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide without the spots filtered out."""
        return slide.subset(in_tissue(slide) & (spot_totals(slide) >= self.min_counts))


@dataclass(frozen=True)
class DropMasked(Unfitted):
    """Drop spots whose disk lies mostly on masked (blackened) background."""

    max_fraction: float = 0.5

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide without the spots on masked background."""
        return slide.subset(slide.masked_fraction() <= self.max_fraction)


@dataclass(frozen=True)
class NormalizeLog1p(Unfitted):
    """Normalise all measured genes to `target_sum` counts per spot, then natural log1p (scanpy's definitions).

    The slide's counts stay in ``adata.raw``; an expected-count layer is treated alike.
    """

    target_sum: float = 1e4

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide in log-normalised units."""
        from anndata import AnnData

        old = slide.adata
        layers = {"expected": self._log(old.layers["expected"])} if "expected" in old.layers else {}
        obsm = {"spatial": slide.centers_px}
        new = AnnData(self._log(old.X), obs=old.obs.copy(), var=old.var.copy(), obsm=obsm, layers=layers)
        new.raw = old
        return slide.with_adata(new)

    def _log(self, counts: Any) -> Any:
        import scanpy as sc
        from anndata import AnnData

        scratch = AnnData(counts.astype(np.float32))
        sc.pp.normalize_total(scratch, target_sum=self.target_sum)
        sc.pp.log1p(scratch)
        return scratch.X


@dataclass(frozen=True)
class MoranPanel:
    """Panel of the genes with the highest Moran's I, a mean over training slides (over all with ``fit_on="all"``).

    Candidates are measured in every such slide and detected in at least `min_detected` of their spots.
    """

    n_genes: int = 250
    min_detected: float = 0.10
    fit_on: FitOn = "train"

    def fit(self, slides: Sequence[Slide]) -> State:
        """Choose the panel.

        Raises
        ------
        DataError
            If no gene qualifies.
        """
        genes = shared_genes(slides)
        values = [slide.adata[:, genes].X for slide in slides]
        n_spots = sum(slide.n_spots for slide in slides)
        detected = np.sum([column_sums(v > 0) for v in values], axis=0) / n_spots
        candidates = np.flatnonzero(detected >= self.min_detected)
        edges = [slide.neighbours("grid") for slide in slides]
        per_slide = np.stack([morans_i(v[:, candidates], e) for v, e in zip(values, edges, strict=True)])
        scored = np.isfinite(per_slide)
        moran = np.where(scored, per_slide, 0).sum(0) / np.maximum(scored.sum(0), 1)
        moran[~scored.any(0)] = -np.inf
        ranked = sorted(range(len(candidates)), key=lambda i: (-moran[i], genes[candidates[i]]))
        chosen = candidates[[i for i in ranked if np.isfinite(moran[i])][: self.n_genes]]
        if len(chosen) == 0:
            raise DataError(
                f"the panel is empty: none of {len(genes)} genes measured in all {len(slides)} slides looked at is "
                f"detected in {self.min_detected:.0%} of the spots; check that the slides name their genes alike"
            )
        return {"genes": [genes[i] for i in chosen]}

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with the panel as its genes."""
        return select_panel(slide, state["genes"])


@dataclass(frozen=True)
class AnnotateGenes:
    """Note on each panel gene its training mean, and mark the most variable and most expressed on training spots."""

    fit_on: ClassVar[FitOn] = "train"

    n_marked: int = 50

    def fit(self, slides: Sequence[Slide]) -> State:
        """Take mean and variance of each gene over all training spots."""
        mean, variance = _mean_and_variance(slides)
        return {
            "train_mean": [float(m) for m in mean],
            "hvg50": _top(variance, self.n_marked),
            "heg50": _top(mean, self.n_marked),
        }

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with ``var["train_mean"|"hvg50"|"heg50"]``."""
        for name, values in state.items():
            slide.adata.var[name] = values
        return slide


@dataclass(frozen=True)
class MarkGenes(Unfitted):
    """Note in ``var["marker"]`` which panel genes are known markers, by id or symbol (metric ``pcc_markers``).

    For protocols whose paper names markers; they are chosen beforehand, by no slide.
    """

    markers: tuple[str, ...]

    def transform(self, slide: Slide, state: State) -> Slide:
        """Return the slide with ``var["marker"]``."""
        var = slide.adata.var
        var["marker"] = var.index.isin(self.markers) | var["symbol"].isin(self.markers).to_numpy()
        return slide


def spot_totals(slide: Slide) -> NDArray[np.float64]:
    """Counts of each spot over all genes, (spots,)."""
    return row_sums(slide.adata.X)


def in_tissue(slide: Slide) -> NDArray[np.bool_]:
    """``obs["in_tissue"]``, (spots,); all True where the data do not say."""
    return np.asarray(slide.adata.obs.get("in_tissue", np.ones(slide.n_spots)), bool)


def select_panel(slide: Slide, genes: Sequence[str]) -> Slide:
    """Return the slide with `genes` in this order, dense float32; absent ones are 0 and not measured.

    ``layers["measured"]`` is made, or kept where an earlier step made it, and the counts of all genes stay in
    ``adata.raw``. A large slide holds less: values sparse by columns, ``var["measured"]``, and of its other genes
    the sum of their counts, ``obs["total_counts"]``.
    """
    import pandas as pd
    from anndata import AnnData

    old, large = slide.adata, slide.is_large
    panel = pd.Index(genes)
    position = old.var_names.get_indexer(panel)
    present = position >= 0
    symbol = np.where(present, np.asarray(old.var["symbol"], object)[position], panel)
    var = pd.DataFrame({"symbol": symbol}, index=panel)
    columns = _sparse_columns if large else _columns
    layers = {"expected": columns(old.layers["expected"], position)} if "expected" in old.layers else {}
    if "measured" in old.layers:
        layers["measured"] = np.asarray(old.layers["measured"], bool)[:, np.maximum(position, 0)] & present
    elif large:
        var["measured"] = present
    else:
        layers["measured"] = np.broadcast_to(present, (slide.n_spots, len(panel))).copy()
    obsm = {"spatial": slide.centers_px}
    new = AnnData(columns(old.X, position), obs=old.obs.copy(), var=var, obsm=obsm, layers=layers)
    if large:
        new.obs[TOTAL] = total_counts(slide)
    else:
        new.raw = old if old.raw is None else old.raw.to_adata()
    return slide.with_adata(new)


def total_counts(slide: Slide) -> NDArray[np.float64]:
    """Counts of each spot over all genes that were measured, those that a panel left out too, (spots,)."""
    if TOTAL in slide.adata.obs:
        return np.asarray(slide.adata.obs[TOTAL], np.float64)
    every = slide.adata if slide.adata.raw is None else slide.adata.raw
    return row_sums(every.X)


def shared_genes(slides: Sequence[Slide]) -> list[str]:
    """Genes of the first slide, in its order, that all others have measured too."""
    shared = set(slides[0].adata.var_names).intersection(*(s.adata.var_names for s in slides[1:]))
    return [g for g in slides[0].adata.var_names if g in shared]


def row_sums(values: Any) -> NDArray[np.float64]:
    """Sums over genes of a dense or sparse matrix, (spots,); whole-number counts are not copied as wider numbers."""
    from scipy.sparse import issparse

    if issparse(values) and values.format == "csc":
        total = np.zeros(values.shape[0])
        for start in range(0, values.nnz, AT_ONCE):
            some = slice(start, start + AT_ONCE)
            total += np.bincount(values.indices[some], values.data[some], minlength=len(total))
        return total
    starts = range(0, values.shape[0], ROWS_AT_ONCE)
    parts = [np.asarray(values[i : i + ROWS_AT_ONCE].sum(axis=1), np.float64).ravel() for i in starts]
    return np.concatenate(parts) if parts else np.zeros(0)


def column_sums(values: Any) -> NDArray[np.float64]:
    """Sums over spots of a dense or sparse matrix, (genes,)."""
    return np.asarray(values.sum(axis=0), np.float64).ravel()


def _columns(values: Any, position: NDArray[np.int64]) -> NDArray[np.float32]:
    """Dense (spots, panel) float32; columns that are absent (position −1) are 0."""
    from scipy.sparse import issparse

    found = values[:, np.maximum(position, 0)]
    dense = np.asarray(found.toarray() if issparse(found) else found, np.float32)
    return np.where(position >= 0, dense, np.float32(0))


def _mean_and_variance(slides: Sequence[Slide]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each gene over the spots of all slides, (genes,)."""
    if any(slide.is_large for slide in slides):  # a gene after the other: all of them at once are gigabytes
        columns = range(slides[0].adata.n_vars)
        parts = [_mean_and_variance_of([slide.target_of(slice(i, i + 1)) for slide in slides]) for i in columns]
        mean, variance = (np.concatenate(values) for values in zip(*parts, strict=True))
        return mean, variance
    return _mean_and_variance_of([slide.target for slide in slides])


def _mean_and_variance_of(targets: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    target = np.concatenate(targets).astype(np.float64)
    return target.mean(0), target.var(0)


def _sparse_columns(values: Any, position: NDArray[np.int64]) -> Any:
    """The same by columns and sparse; beside the result memory holds a block of rows."""
    from scipy.sparse import csc_matrix, csr_matrix

    by_row = csr_matrix(values)
    rows, chosen = by_row.shape[0], np.flatnonzero(position >= 0)
    held = np.zeros(by_row.shape[1], np.int64)
    for start in range(0, by_row.nnz, AT_ONCE):
        held += np.bincount(by_row.indices[start : start + AT_ONCE], minlength=len(held))
    ends = np.cumsum(np.where(position >= 0, held[position], 0))
    index = np.int32 if max(rows, ends[-1]) < 2**31 else np.int64
    indptr = np.concatenate([[0], ends]).astype(index)
    data, indices = np.empty(ends[-1], np.float32), np.empty(ends[-1], index)
    filled = indptr[chosen].astype(np.int64)
    for start in range(0, rows, ROWS_AT_ONCE):
        block = by_row[start : start + ROWS_AT_ONCE][:, position[chosen]].tocsc()
        for k, (first, last) in enumerate(pairwise(block.indptr)):
            place = slice(filled[k], filled[k] + last - first)
            data[place] = block.data[first:last]
            indices[place] = block.indices[first:last] + start
            filled[k] = place.stop
    return csc_matrix((data, indices, indptr), shape=(rows, len(position)))


def _top(score: NDArray[np.float64], k: int) -> list[bool]:
    marked = np.zeros(len(score), bool)
    marked[np.argsort(-score, kind="stable")[:k]] = True
    return [bool(m) for m in marked]
