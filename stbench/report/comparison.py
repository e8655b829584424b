"""Comparing two models over the units that both were tested on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from stbench.errors import UsageError
from stbench.report.scores import TASK, VARIANT, Scores
from stbench.stats import Paired, holm, paired

PRECISION = "precision"


@dataclass(frozen=True)
class Choice:
    """A model, and what its parameters, ``precision`` among them, have to be to tell it from its other variants."""

    model: str
    params: Mapping[str, Any]

    def __str__(self) -> str:
        listed = ";".join(f"{name}={json.dumps(value)}" for name, value in self.params.items())
        return f"{self.model}[{listed}]" if listed else self.model


@dataclass(frozen=True)
class Comparison:
    """Two models on one task.

    Attributes
    ----------
    first, second
        Means over the common units.
    units
        Value of each model on each common unit.
    paired
        Differences first − second.
    p_holm
        p of the t test adjusted for the tasks compared together.
    only_first, only_second
        Units that only one of them was tested on: left out.
    """

    dataset: str
    protocol: str
    metric: str
    unit: str
    first: float
    second: float
    units: dict[str, tuple[float, float]]
    paired: Paired
    p_holm: float | None
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    better: str
    """Which of the two is better on average: ``first``, ``second`` or ``neither``."""

    def sentence(self, first: str, second: str) -> str:
        """What the numbers allow to say of two models called so."""
        tested = self.paired
        n = tested.difference.n_units
        units = f"{n} {self.unit}{'s' * (n != 1)}"
        if tested.p_t is None:
            return f"{units} cannot tell two models apart; test on more"
        if tested.sd is not None and tested.resolvable is None:
            return f"the difference is the same on all {units}"
        found = f"{abs(tested.difference.mean):.3g}"
        smallest = f"{tested.resolvable:.2g}"
        if tested.verdict == "different":
            better = first if self.better == "first" else second
            return f"{better} is better by {found} (p {tested.p_t:.2g} over {units})"
        return (
            f"these data cannot resolve it: the difference of {found} is within what chance does over {units} "
            f"(p {tested.p_t:.2g}); with this spread they show differences from about {smallest} (power 80 %)"
        )


def compare(
    scores: Scores, first: Choice, second: Choice, metric: str | None, headlines: Mapping[str, str]
) -> list[Comparison]:
    """Compare two models on every task that both have runs of.

    Parameters
    ----------
    metric
        The metric compared; None for each protocol's headline.
    headlines
        Headline metric by protocol.

    Raises
    ------
    UsageError
        A model without runs, several variants under one name, or no unit in common.
    """
    both = [chosen_cells(scores, choice) for choice in (first, second)]
    units = scores.units(by=VARIANT)
    tasks = [key for key in _tasks(both[0]) if key in _tasks(both[1])]
    found = []
    for dataset, protocol in tasks:
        name = metric or headlines.get(protocol, "pcc")
        values = [_values(units, cells, dataset, protocol, name) for cells in both]
        if all(values):
            found.append(_comparison(scores, dataset, protocol, name, values[0], values[1]))
    if not found:
        raise UsageError(f"{first} and {second} have no test unit in common; run them on the same folds")
    adjusted = holm([float("nan") if c.paired.p_t is None else c.paired.p_t for c in found])
    return [
        Comparison(**{**vars(c), "p_holm": None if p != p else float(p)}) for c, p in zip(found, adjusted, strict=True)
    ]


def chosen_cells(scores: Scores, choice: Choice) -> pl.DataFrame:
    """Cells of the one variant that is meant; raises `UsageError` if there is none, or several."""
    own = scores.cells.filter(pl.col("model") == choice.model)
    if own.is_empty():
        have = ", ".join(sorted(scores.cells["model"].unique())) or "none"
        raise UsageError(f"no finished run of model {choice.model!r} here; there are runs of: {have}")
    sets = {text: json.loads(text) for text in own["params"].unique()}
    wanted = dict(choice.params)
    chosen = own
    if PRECISION in wanted and not any(isinstance(p, dict) and PRECISION in p for p in sets.values()):
        chosen = own.filter(pl.col(PRECISION) == wanted.pop(PRECISION))
    if wanted:
        fitting = [text for text, p in sets.items() if isinstance(p, dict) and wanted.items() <= p.items()]
        chosen = chosen.filter(pl.col("params").is_in(fitting))
    if chosen.is_empty():
        raise UsageError(f"no finished run of {choice}; `stbench leaderboard` lists the variants")
    per_task = chosen.group_by(TASK).agg(pl.struct([c for c in VARIANT if c not in TASK]).n_unique().alias("n"))
    if int(per_task["n"].max() or 0) > 1:  # type: ignore[arg-type]
        differing = sorted({k for p in sets.values() if isinstance(p, dict) for k in p if _differs(k, sets)})
        if chosen[PRECISION].n_unique() > 1:
            differing.append(PRECISION)
        raise UsageError(
            f"{choice} has several variants ({', '.join(differing)} differ); name one, "
            f"as in '{choice.model}[{differing[0] if differing else 'param'}=…]', or give --select validation"
        )
    return chosen


def _differs(name: str, sets: Mapping[str, Any]) -> bool:
    return len({json.dumps(p.get(name)) for p in sets.values() if isinstance(p, dict)}) > 1


def _tasks(cells: pl.DataFrame) -> list[tuple[str, str]]:
    return sorted({(str(d), str(p)) for d, p in cells.select(TASK).iter_rows()})


def _values(units: pl.DataFrame, cells: pl.DataFrame, dataset: str, protocol: str, metric: str) -> dict[str, float]:
    own = units.join(cells.select(VARIANT).unique(), on=VARIANT, how="semi").filter(
        pl.col("dataset") == dataset, pl.col("protocol") == protocol, pl.col("metric") == metric
    )
    return dict(zip(own["unit"], own["value"], strict=True))


def _comparison(
    scores: Scores, dataset: str, protocol: str, metric: str, first: dict[str, float], second: dict[str, float]
) -> Comparison:
    common = [unit for unit in sorted(first) if unit in second]
    if not common:
        raise UsageError(f"the two models share no test unit on {dataset} under {protocol}; run the same folds")
    a, b = ([values[unit] for unit in common] for values in (first, second))
    spec = scores.specs.get(metric)
    sign = 1 if spec is None or spec.direction == "max" else -1
    tested = paired(a, b)
    signed = sign * tested.difference.mean
    return Comparison(
        dataset,
        protocol,
        metric,
        spec.unit if spec else "patient",
        sum(a) / len(a),
        sum(b) / len(b),
        {unit: (first[unit], second[unit]) for unit in common},
        tested,
        None,
        tuple(sorted(first.keys() - second.keys())),
        tuple(sorted(second.keys() - first.keys())),
        "first" if signed > 0 else "second" if signed < 0 else "neither",
    )


def plain(found: Sequence[Comparison], first: Choice, second: Choice) -> list[dict[str, Any]]:
    """Plain values, for JSON."""
    return [
        {
            "first": str(first),
            "second": str(second),
            **{k: v for k, v in vars(c).items() if k not in ("paired", "first", "second")},
            "mean_first": c.first,
            "mean_second": c.second,
            "difference": c.paired.difference.mean,
            "ci_low": c.paired.difference.low,
            "ci_high": c.paired.difference.high,
            "n_units": c.paired.difference.n_units,
            "sd": c.paired.sd,
            "p_t": c.paired.p_t,
            "p_wilcoxon": c.paired.p_wilcoxon,
            "effect_size": c.paired.effect_size,
            "smallest_resolvable": c.paired.resolvable,
            "verdict": c.paired.verdict,
            "sentence": c.sentence(str(first), str(second)),
        }
        for c in found
    ]
