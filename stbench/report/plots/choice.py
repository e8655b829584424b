"""What of a store a figure shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from stbench.errors import UsageError
from stbench.execution.kept import FOLDER
from stbench.registry import Registry
from stbench.report.boards import boards
from stbench.report.headlines import headlines
from stbench.report.leaderboard import leaderboard
from stbench.report.scores import Scores, read_scores
from stbench.report.sections import Part, Section, read_section, tested_sections
from stbench.report.variants import variant_key
from stbench.store import RunRecord, Store

MODELS = 4
"""Models drawn where none is named."""


@dataclass(frozen=True)
class Choice:
    """One task of a store, and some of its models.

    Attributes
    ----------
    task
        As `stbench.report.boards.boards` arranges it.
    variants
        Those of its variants that are drawn, best first.
    """

    store: Store
    scores: Scores
    task: Mapping[str, Any]
    variants: Sequence[Mapping[str, Any]]

    @property
    def names(self) -> dict[str, str]:
        """What each variant drawn is called."""
        return {variant["key"]: variant["name"] for variant in self.variants}

    def metric(self, name: str | None) -> str:
        """The metric asked for, or the protocol's headline.

        Raises
        ------
        UsageError
            One without values here.
        """
        metric = name or str(self.task["headline"])
        if metric not in self.task["metrics"]:
            raise UsageError(f"no value of metric {metric!r} here; there are {', '.join(self.task['metrics'])}")
        return metric

    def entries(self, metric: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Variants with a value of `metric`, best first, and their rows."""
        rows = dict(zip((v["key"] for v in self.task["variants"]), self.task["metrics"][metric]["rows"], strict=True))
        found = [(variant, rows[variant["key"]]) for variant in self.variants if rows[variant["key"]]]
        return sorted(found, key=lambda entry: entry[1]["rank"] or len(rows) + 1)

    def section(self, slide: str | None, labelled: bool = False) -> Section:
        """The slide asked for, or the first one.

        Parameters
        ----------
        labelled
            The first one with annotated regions.

        Raises
        ------
        UsageError
            A slide that was not tested.
        """
        for name in [slide] if slide else self.tested:
            section = read_section(self.store, self.parts(name), list(self.names))
            if slide or not labelled or any(section.regions):
                return section
        raise UsageError("no slide that was tested has annotated regions")

    def parts(self, slide: str) -> list[Part]:
        """What the task's folds tested of a slide.

        Raises
        ------
        UsageError
            A slide that was not tested.
        """
        if slide not in self.tested:
            raise UsageError(f"slide {slide!r} was not tested; there are {', '.join(self.tested)}")
        return self.tested[slide]

    @cached_property
    def tested(self) -> dict[str, list[Part]]:
        """What the task's folds tested, by slide."""
        task = (self.task["dataset"], self.task["protocol"])
        return {n[2]: p for n, p in tested_sections(self.store, self.scores).items() if n[:2] == task}

    def kept(self, slide: str | None) -> tuple[Path, RunRecord, str]:
        """Folder and record of the best model's first run that kept its model, and a slide that it was tested on.

        Raises
        ------
        UsageError
            No run kept its model.
        """
        tested = {slide: self.parts(slide)} if slide else self.tested
        for variant in self.names:
            for name, parts in tested.items():
                for run in (part.folders[variant] for part in parts if variant in part.folders):
                    if (run / FOLDER).is_dir():
                        return run, self.store.records[run], name
        of = f" of slide {slide}" if slide else ""
        raise UsageError(f"no run{of} kept its model; run again with --keep model --fresh")

    def slide_values(self, metric: str) -> pl.DataFrame:
        """Columns variant, slide, value: seeds and folds averaged."""
        own = self.scores.cells.filter(
            pl.col("dataset") == self.task["dataset"], pl.col("protocol") == self.task["protocol"]
        )
        keys = {
            row["run_id"]: variant_key(row | {"params": json.loads(row["params"])})
            for row in own.select("run_id", "model", "distribution", "params", "precision").to_dicts()
        }
        named = pl.DataFrame({"run_id": list(keys), "variant": list(keys.values())})
        scored = self.scores.slides.filter(pl.col("split") == "test", pl.col("metric") == metric)
        joined = scored.join(named, on="run_id").group_by("variant", "slide").agg(pl.col("value").mean())
        return joined.sort("slide")


def choose(
    store: Store, registry: Registry, dataset: str | None, protocol: str | None, models: Sequence[str] = ()
) -> Choice:
    """Find the one task meant.

    Parameters
    ----------
    models
        Names of models, or of variants as the leaderboard writes them; none for all.

    Raises
    ------
    UsageError
        No such task or model, or several tasks.
    """
    rows = leaderboard(store, registry, [dataset] if dataset else None, [protocol] if protocol else None).rows
    tasks = boards(rows, headlines(registry, {row["protocol"] for row in rows}))
    if not tasks:
        raise UsageError(f"no finished run of that in {store.layout.root}; `stbench status` lists what there is")
    if len(tasks) > 1:
        listed = ", ".join(f"-d {d} -p {p}" for d, p in tasks)
        raise UsageError(f"several tasks; say which: {listed}")
    (task,) = tasks.values()
    known = task["variants"]
    unknown = [name for name in models if not any(name in (v["model"], v["name"]) for v in known)]
    if unknown:
        raise UsageError(f"no finished run of model {unknown[0]!r}; there are {', '.join(v['name'] for v in known)}")
    chosen = [v for v in known if not models or v["model"] in models or v["name"] in models]
    return Choice(store, read_scores(store, registry), task, chosen)
