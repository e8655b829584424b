"""Which gene sets the genes that a model predicts best belong to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from stbench.errors import UsageError
from stbench.report.breakdown import breakdown
from stbench.report.comparison import Choice, chosen_cells
from stbench.report.scores import TASK, Scores
from stbench.stats.enrichment import Enriched, over_representation
from stbench.store import Store
from stbench.store.symbols import gene_symbols


@dataclass(frozen=True)
class RankedGene:
    """A gene, its score (mean over slides, then patients), and in how many folds it was in the panel."""

    gene: str
    score: float
    n_folds: int


@dataclass(frozen=True)
class Selection:
    """Genes to test: the `top` best, or those that score better than `beyond`."""

    top: int = 100
    beyond: float | None = None


@dataclass(frozen=True)
class Enrichment:
    """Gene sets tested for one model on one task.

    Attributes
    ----------
    genes
        The background, best first: every gene that was scored.
    n_selected
        How many of them, from the first, were selected.
    n_sets
        Sets in the file; those of other sizes in the background were not tested.
    """

    dataset: str
    protocol: str
    model: str
    metric: str
    genes: tuple[RankedGene, ...]
    n_selected: int
    n_folds: int
    n_sets: int
    sets: tuple[Enriched, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values; the stable output for scripts."""
        return asdict(self) | {"n_background": len(self.genes)}


def enrich(
    store: Store,
    scores: Scores,
    choice: Choice,
    metric: str,
    sets: Mapping[str, Collection[str]],
    selection: Selection,
    sizes: tuple[int, int] = (5, 500),
) -> Enrichment:
    """Rank a model's genes by a metric and test gene sets for over-representation among the best.

    Parameters
    ----------
    metric
        One that has a value per gene.
    sets
        Genes, by symbol or by the names of the panel, of each set.
    sizes
        Smallest and largest number of genes in the background that a set is tested with.

    Raises
    ------
    UsageError
        No run of the model, runs on several tasks, a metric without values per gene, a selection of no or of all genes,
        or sets that do not meet the panel.
    """
    cells = chosen_cells(scores, choice)
    tasks = sorted(cells.select(TASK).unique().iter_rows())
    if len(tasks) > 1:
        listed = ", ".join(" under ".join(task) for task in tasks)
        raise UsageError(f"{choice} has runs on {listed}; name one with -d and -p")
    symbols = gene_symbols(store.layout, _truth_keys(store, set(cells["run_id"])))
    ranked = _ranked(store, replace(scores, cells=cells), metric, symbols)
    names = [gene.gene for gene in ranked]
    spec = scores.specs[metric]
    n_selected = _count(ranked, selection, spec.direction == "max")
    # a file may name genes as the panel does
    by_symbol = {name: {symbols.get(gene, gene) for gene in genes} for name, genes in sets.items()}
    tested = over_representation(names[:n_selected], names, by_symbol, *sizes)
    if not tested:
        raise UsageError(_none_fits(names, by_symbol, sizes))
    dataset, protocol = tasks[0]
    return Enrichment(
        dataset=dataset,
        protocol=protocol,
        model=str(choice),
        metric=metric,
        genes=tuple(ranked),
        n_selected=n_selected,
        n_folds=cells["fold"].n_unique(),
        n_sets=len(sets),
        sets=tuple(tested),
        notes=tuple(scores.notes),
    )


def _ranked(store: Store, scores: Scores, metric: str, symbols: Mapping[str, str]) -> list[RankedGene]:
    """Genes by symbol, best first; ids that share a symbol are one gene with their mean score."""
    rows = pl.DataFrame(breakdown(store, scores, "gene", metric)).select("gene", "value")
    folds = pl.from_arrow(store.query("SELECT DISTINCT run_id, gene, fold FROM moments WHERE split = 'test'"))
    assert isinstance(folds, pl.DataFrame)
    counted = folds.join(scores.cells.select("run_id"), on="run_id", how="semi").with_columns(pl.col("gene").cast(str))
    table = (
        rows.with_columns(pl.col("gene").cast(str))
        .join(counted.group_by("gene").agg(pl.col("fold").n_unique()), on="gene")
        .with_columns(pl.col("gene").replace(dict(symbols)))
        .group_by("gene")
        .agg(pl.col("value").mean(), pl.col("fold").max())
    )
    sign = -1 if scores.specs[metric].direction == "max" else 1
    found = [RankedGene(*row) for row in table.iter_rows()]
    return sorted(found, key=lambda gene: (sign * gene.score, gene.gene))


def _count(ranked: list[RankedGene], selection: Selection, higher_is_better: bool) -> int:
    if selection.beyond is None:
        n, how = selection.top, f"--top {selection.top}"
    else:
        sign, limit = (1 if higher_is_better else -1), selection.beyond
        n = sum(sign * gene.score > sign * limit for gene in ranked)
        how = f"--above {limit:g}"
    if n == 0:
        raise UsageError(f"{how} selects none of the {len(ranked)} scored genes; the best scores {ranked[0].score:.3g}")
    if n >= len(ranked):
        raise UsageError(f"{how} selects all {len(ranked)} scored genes: nothing is left to compare them with")
    return n


def _none_fits(names: list[str], sets: Mapping[str, Collection[str]], sizes: tuple[int, int]) -> str:
    panel = set(names)
    largest = max(sets, key=lambda name: len(panel.intersection(sets[name])))
    n = len(panel.intersection(sets[largest]))
    if n == 0:
        theirs = ", ".join(sorted(sets[largest])[:3])
        ours = ", ".join(sorted(panel)[:3])
        return (
            f"no gene set has a gene of the panel, whose genes are named {ours}, and the file's {theirs}; give a file "
            "for this species, by symbol"
        )
    return (
        f"no gene set has {sizes[0]} to {sizes[1]} of the {len(panel)} scored genes (the one with most, {largest}, has "
        f"{n}); see --min-size and --max-size"
    )


def _truth_keys(store: Store, run_ids: set[str]) -> list[str]:
    return [t.truth_key for r in store.records.values() if r.run_id in run_ids for t in r.test]
