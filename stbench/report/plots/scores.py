"""Figures of numbers: intervals with tie bands, cost, genes and slides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stbench.report.palette import category_colour
from stbench.report.plots.style import BAND, REFERENCE, colour_of, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Entry = tuple[Mapping[str, Any], Mapping[str, Any]]
"""A variant and its row under the metric drawn."""

COSTS = {
    "fit_seconds": "training time (s per fold)",
    "predict_seconds": "prediction time (s per fold)",
    "peak_memory_mb": "peak memory (MB)",
    "peak_gpu_memory_mb": "peak GPU memory (MB)",
    "n_parameters": "trainable parameters",
}


def intervals(entries: Sequence[Entry], references: Mapping[str, float], metric: str) -> Figure:
    """Mean and interval of each model, best on top; those not told from the best are shaded."""
    drawn, axes = figure(18 + 6 * len(entries))
    for place, (variant, row) in enumerate(entries):
        if row["tied_with_best"]:
            axes.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0)
        if row["ci_low"] is not None:
            axes.plot([row["ci_low"], row["ci_high"]], [place, place], color=colour_of(variant), linewidth=1.2)
        axes.plot(row["value"], place, "o", color=colour_of(variant), markersize=4)
    for name, value in references.items():
        axes.axvline(value, color=REFERENCE, linestyle="--", linewidth=0.8)
        axes.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), color=REFERENCE, ha="center", va="bottom", fontsize=7
        )
    axes.set(yticks=range(len(entries)), yticklabels=[variant["name"] for variant, _ in entries], xlabel=metric)
    axes.invert_yaxis()
    return drawn


def cost(entries: Sequence[Entry], kind: str, metric: str) -> Figure:
    """A metric against one of `COSTS`, logarithmic; models without that cost are left out."""
    drawn, axes = figure(90)
    for variant, row in entries:
        if not variant[kind]:
            continue
        low, high = row["ci_low"], row["ci_high"]
        if low is not None:
            axes.plot([variant[kind]] * 2, [low, high], color=colour_of(variant), linewidth=0.8, alpha=0.6)
        axes.plot(variant[kind], row["value"], "o", color=colour_of(variant), markersize=4)
        axes.annotate(variant["name"], (variant[kind], row["value"]), (4, 4), textcoords="offset points", fontsize=7)
    axes.set(xscale="log", xlabel=COSTS[kind], ylabel=metric)
    axes.margins(x=0.15)
    return drawn


def genes(names: Sequence[str], values: Sequence[Sequence[float]]) -> Figure:
    """Distribution of correlation over genes, one row per model: density, quartiles and median."""
    from numpy import linspace, percentile, ptp
    from scipy.stats import gaussian_kde

    drawn, axes = figure(18 + 11 * len(names))
    for place, of_genes in enumerate(values):
        if ptp(of_genes) > 0:
            x = linspace(min(of_genes), max(of_genes), 200)
            density = gaussian_kde(of_genes)(x)
            heights = place - 0.7 * density / density.max()  # the axis points down
            axes.fill_between(x, place, heights, color=category_colour(0), alpha=0.3, linewidth=0)
        lower, median, upper = percentile(of_genes, [25, 50, 75])
        axes.plot([lower, upper], [place, place], color=category_colour(0), linewidth=2.5, solid_capstyle="butt")
        axes.plot(median, place, "|", color="black", markersize=9)
    axes.axvline(0, color="0.7", linewidth=0.6, zorder=0)
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="Pearson's r per gene")
    axes.invert_yaxis()
    return drawn


def slides(names: Sequence[str], slide_ids: Sequence[str], values: Sequence[Sequence[float]], metric: str) -> Figure:
    """A metric on every slide, a line per model.

    Parameters
    ----------
    values
        (models, slides); NaN where a model was not tested on a slide.
    """
    drawn, axes = figure(80)
    for place, (name, of_slides) in enumerate(zip(names, values, strict=True)):
        marker = "os^Dv<>P"[place % 8]
        axes.plot(
            slide_ids, of_slides, marker=marker, color=category_colour(place), label=name, linewidth=0.8, markersize=4
        )
    axes.set(ylabel=metric, xlabel="slide")
    axes.tick_params(axis="x", rotation=90 if len(slide_ids) > 12 else 0)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return drawn
