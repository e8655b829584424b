"""``stbench enrich``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, StoreOption, warn_of_broken_plugins

if TYPE_CHECKING:
    from stbench.report.enrich import Enrichment

SHOWN = 30
"""Sets that the table shows; csv and json have all."""


class EnrichFormat(StrEnum):
    """Output formats of enrich."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def enrich(
    gmt: Annotated[Path, typer.Option("--gmt", help="Gene sets: NAME, DESCRIPTION and genes by tabs, a set a line.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="NAME, or NAME[param=value] for one of several variants.")
    ],
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Dataset, if there are runs on several.")
    ] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", "-p", help="Protocol, likewise.")] = None,
    metric: Annotated[str, typer.Option(help="Metric with a value per gene.")] = "pcc",
    top: Annotated[int | None, typer.Option(min=1, help="Select this many genes; 100 unless --above is given.")] = None,
    above: Annotated[
        float | None, typer.Option(help="Select the genes that score better: above it, or below it for an error.")
    ] = None,
    min_size: Annotated[int, typer.Option(min=1, help="Fewest scored genes of a set that is tested.")] = 5,
    max_size: Annotated[int, typer.Option(min=1, help="Most scored genes of a set that is tested.")] = 500,
    select: Annotated[
        str | None, typer.Option(help="validation: of several parameter sets, take the one best on validation.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    output: Annotated[EnrichFormat, typer.Option("--format")] = EnrichFormat.TABLE,
) -> None:
    """Tell which gene sets the genes that a model predicts best belong to.

    A gene's score is its mean over slides, then patients, over the folds whose panel has it. The best genes are tested
    for over-representation of each set with the hypergeometric test, adjusted over the sets tested (Benjamini and
    Hochberg). The background is the genes that were scored, not the genome: a panel is chosen, and what is common in
    all of it is no news. Genes are known by symbol where the data have symbols, and by their names in the panel.
    """
    import sys

    from stbench.cli.compare import parse_choice
    from stbench.cli.leaderboard import selection_metric
    from stbench.errors import UsageError
    from stbench.registry import discover
    from stbench.report.console import print_json
    from stbench.report.enrich import Selection
    from stbench.report.enrich import enrich as compute
    from stbench.report.gene_sets import read_gmt
    from stbench.report.scores import read_scores
    from stbench.report.selection import by_validation
    from stbench.store import Store

    if top is not None and above is not None:
        raise UsageError("give --top or --above, not both")
    warn_of_broken_plugins()
    registry = discover()
    registry.get("metric", metric)
    sets = read_gmt(gmt)
    opened = Store(store)
    scores = read_scores(opened, registry, [dataset] if dataset else None, [protocol] if protocol else None)
    if decides := selection_metric(select, metric):
        scores = by_validation(scores, decides)
    selection = Selection(top or 100, above)
    found = compute(opened, scores, parse_choice(model), metric, sets, selection, (min_size, max_size))
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    if output is EnrichFormat.JSON:
        print_json(found.to_json() | {"gmt": str(gmt)})
    elif output is EnrichFormat.CSV:
        _print_csv(found)
    else:
        _print_table(found)


def _print_csv(found: Enrichment) -> None:
    import csv
    import sys

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["set", "overlap", "size", "fold", "p", "q", "genes"])
    writer.writerows([s.name, s.overlap, s.size, s.fold, s.p, s.q, " ".join(s.genes)] for s in found.sets)


def _print_table(found: Enrichment) -> None:
    from stbench.report.console import print_table

    columns = ["set", "overlap", "in background", "fold", "p", "q", "genes"]
    rows = [
        (s.name, s.overlap, s.size, f"{s.fold:.2f}", f"{s.p:.2g}", f"{s.q:.2g}", ", ".join(s.genes))
        for s in found.sets[:SHOWN]
    ]
    title = f"{found.dataset} · {found.protocol} · {found.model}: gene sets among the genes best by {found.metric}"
    print_table(columns, rows, title=title, numeric=columns[1:6])
    everywhere = sum(gene.n_folds == found.n_folds for gene in found.genes)
    best = ", ".join(f"{gene.gene} {gene.score:.3f}" for gene in found.genes[:8])
    print(f"best: {best}")
    print(
        f"selected: {found.n_selected} of {len(found.genes)} genes, those that were scored, which are the background; "
        f"{everywhere} of them in the panel of all {found.n_folds} folds"
    )
    tested = len(found.sets)
    print(f"tested: {tested} of {found.n_sets} sets" + (f"; the first {SHOWN} are shown" if tested > SHOWN else ""))
