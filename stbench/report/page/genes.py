"""Correlation of every gene under every variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stbench.report.variants import variant_key
from stbench.store import Store

DIGITS = 4
PARTS = """
SELECT dataset, protocol, gene, count(DISTINCT (fold, slide)) AS n FROM gene_scores WHERE split = 'test' GROUP BY ALL
"""


def gene_tables(
    rows: Sequence[Mapping[str, Any]], parts: Mapping[tuple[str, str, str], int]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Arrange rows of a breakdown by gene.

    Parameters
    ----------
    parts
        In how many parts of slides each dataset's, protocol's gene was tested: the panel is fitted in each fold.

    Returns
    -------
    By dataset and protocol: ``genes``, sorted; ``values``, by variant one number per gene (None where undefined); and
    ``everywhere``, the genes tested in as many parts as any.
    """
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in rows:
        by_variant = found.setdefault((row["dataset"], row["protocol"]), {})
        by_variant.setdefault(variant_key(row), {})[row["gene"]] = round(row["value"], DIGITS)
    tables = {}
    for name, by_variant in found.items():
        genes = sorted({gene for values in by_variant.values() for gene in values})
        most = max(parts[*name, gene] for gene in genes)
        tables[name] = {
            "genes": genes,
            "values": {key: [of_gene.get(gene) for gene in genes] for key, of_gene in by_variant.items()},
            "everywhere": [gene for gene in genes if parts[*name, gene] == most],
        }
    return tables


def tested_parts(store: Store) -> dict[tuple[str, str, str], int]:
    """In how many parts of slides each gene was tested, by dataset, protocol and gene."""
    rows = store.query(PARTS).to_pylist()
    return {(row["dataset"], row["protocol"], row["gene"]): row["n"] for row in rows}


def choose_genes(genes: Sequence[str], values: Sequence[float | None], limit: int) -> list[str]:
    """Up to `limit` genes to draw: the best third, the worst third, and some evenly in between; best first."""
    defined = [(v, gene) for v, gene in zip(values, genes, strict=True) if v is not None]
    order = [gene for _, gene in sorted(defined, key=lambda pair: (-pair[0], pair[1]))]
    if len(order) <= limit:
        return order
    ends = limit // 3
    between = order[ends : len(order) - ends]
    n_between = limit - 2 * ends
    step = len(between) / n_between
    return [*order[:ends], *(between[int(i * step)] for i in range(n_between)), *order[len(order) - ends :]]
