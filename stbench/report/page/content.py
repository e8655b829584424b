"""What the page says, as plain values: the one place that decides what is on it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from stbench import __version__
from stbench.datasets import DatasetContext
from stbench.registry import Registry
from stbench.report.boards import boards
from stbench.report.breakdown import breakdown
from stbench.report.headlines import headlines
from stbench.report.leaderboard import leaderboard
from stbench.report.overview import Images
from stbench.report.page.facts import failures, ledgers, versions
from stbench.report.page.genes import gene_tables, tested_parts
from stbench.report.page.maps import Chosen, Limits, section_maps
from stbench.report.palette import OKABE_ITO, expression_colours
from stbench.report.scores import read_scores
from stbench.report.sections import tested_sections
from stbench.store import Store

Content = dict[str, Any]


def page_content(store: Store, registry: Registry, context: DatasetContext, limits: Limits | None = None) -> Content:
    """Gather what the page shows.

    Parameters
    ----------
    context
        Where datasets may look: their H&E images are drawn behind the maps if they are here.

    Returns
    -------
    Plain values that JSON can hold: ``about``, ``metrics``, ``palette`` and ``tasks``, one per dataset and protocol.
    """
    limits = limits or Limits()
    scores = read_scores(store, registry)
    board = leaderboard(store, registry)
    tasks = boards(board.rows, headlines(registry, {row["protocol"] for row in board.rows}))
    genes = gene_tables(breakdown(store, scores, "gene", "pcc"), tested_parts(store)) if tasks else {}
    tested = tested_sections(store, scores)
    images = Images(registry, context)
    left_out: list[str] = []
    entries = ledgers(store, scores)
    lost = failures(store)
    revisions = versions(store, scores)
    for (dataset, protocol), task in tasks.items():
        name = (dataset, protocol)
        keys = [variant["key"] for variant in task["variants"]]
        of_genes = genes.get(name, {"genes": [], "values": {}, "everywhere": []})
        task["genes"] = of_genes["genes"]
        task["gene_values"] = [of_genes["values"].get(key) for key in keys]
        task["ledger"] = [entries.get(name, {}).get(key, {}) for key in keys]
        task["versions"] = revisions[name]
        chosen = Chosen.of(task, of_genes["everywhere"], limits)
        own = {section: parts for section, parts in tested.items() if section[:2] == name}
        task["slides"], notes = section_maps(store, own, chosen, images)
        left_out += notes
    panels = {gene for task in tasks.values() for gene in task["genes"]}
    left_out += [f"gene {gene} is in no panel here" for gene in limits.named_genes if gene not in panels]
    return {
        "about": {
            "store": store.layout.root.resolve().name,
            "version": __version__,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "notes": list(dict.fromkeys([*board.notes, *store.problems])),
            "left_out": left_out,
        },
        "metrics": {
            name: {"title": spec.title, "direction": spec.direction, "unit": spec.unit}
            for name, spec in scores.specs.items()
        },
        "palette": {"expression": expression_colours(), "categories": OKABE_ITO},
        "tasks": list(tasks.values()),
        "failures": lost,
    }
