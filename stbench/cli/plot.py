"""``stbench plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, DataDirOption, StoreOption

if TYPE_CHECKING:
    from stbench.report.plots.choice import Choice

app = typer.Typer(help="Figures for papers, as SVG, PDF or PNG.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option("--output", "-o", help="File ending in .svg, .pdf or .png.")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", "-d", help="Needed where the store has several.")]
ProtocolOption = Annotated[str | None, typer.Option("--protocol", "-p", help="Needed where there are several.")]
ModelsOption = Annotated[list[str] | None, typer.Option("--model", "-m", help="Model; repeatable; default: all.")]
DrawnOption = Annotated[
    list[str] | None, typer.Option("--model", "-m", help="Model; repeatable; default: the four best.")
]
MetricOption = Annotated[str | None, typer.Option(help="Default: the protocol's headline.")]
SlideOption = Annotated[str | None, typer.Option(help="Default: the first one.")]


@app.command("map")
def map_(
    out: OutOption,
    gene: Annotated[
        list[str] | None, typer.Option(help="Repeatable; default: the one the best model predicts best.")
    ] = None,
    slide: SlideOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    model: DrawnOption = None,
    store: StoreOption = DEFAULT_STORE,
    data_dir: DataDirOption = None,
) -> None:
    """Image, truth and predictions of genes on one slide, between the spots too, on one colour scale."""
    import numpy as np

    from stbench.datasets import DatasetContext
    from stbench.errors import StbenchError, UsageError
    from stbench.registry import discover
    from stbench.report.console import warn
    from stbench.report.fine_maps import fine_map
    from stbench.report.overview import Images
    from stbench.report.plots.choice import MODELS
    from stbench.report.plots.maps import gene_maps
    from stbench.report.plots.style import save
    from stbench.slides import cache

    chosen = _choose(store, dataset, protocol, model)
    section = chosen.section(slide)
    names = {key: name for key, name in chosen.names.items() if key in section.predictions}
    names = names if model else dict(list(names.items())[:MODELS])
    if not names:
        raise UsageError(f"no run kept its predictions of slide {section.info.id}; run with --keep predictions")
    if unknown := [name for name in gene or () if name not in section.genes]:
        raise UsageError(f"gene {unknown[0]!r} is not in the panel of slide {section.info.id}")
    r = np.nan_to_num(section.gene_pcc(next(iter(names))), nan=-1.0)
    image = None
    try:
        image = Images(discover(), DatasetContext(cache.root(), data_dir)).of(
            section.dataset, section.revision, section.info.id
        )
    except StbenchError as error:
        warn(f"drawn without the H&E image: {error}")
    genes = gene or [section.genes[int(r.argmax())]]
    fine = {key: found for key in names if (found := fine_map(chosen.parts(section.info.id), key, genes))}
    save(gene_maps(section, genes, names, image, fine), out)


@app.command()
def regions(
    out: OutOption,
    slide: SlideOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    model: DrawnOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Annotated regions beside the clusters of each prediction, with their ARI."""
    from stbench.errors import UsageError
    from stbench.report.plots.choice import MODELS
    from stbench.report.plots.maps import regions as draw
    from stbench.report.plots.style import save
    from stbench.report.region_maps import region_labels

    chosen = _choose(store, dataset, protocol, model)
    section = chosen.section(slide, labelled=True)
    labels = region_labels(section)
    if not labels:
        raise UsageError(f"slide {section.info.id} has no annotated regions")
    names = {key: name for key, name in chosen.names.items() if key in section.predictions}
    save(draw(section, labels, names if model else dict(list(names.items())[:MODELS])), out)


@app.command()
def attention(
    out: Annotated[
        Path, typer.Option("--output", "-o", help="File ending in .svg, .pdf or .png; .csv writes the weights.")
    ],
    spot: Annotated[str | None, typer.Option(help="Name of the spot that looks; default: the central one.")] = None,
    layer: Annotated[list[int] | None, typer.Option(help="From 1; repeatable; default: the last.")] = None,
    head: Annotated[list[int] | None, typer.Option(help="From 1; repeatable; default: the mean of all.")] = None,
    slide: SlideOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    model: ModelsOption = None,
    store: StoreOption = DEFAULT_STORE,
    data_dir: DataDirOption = None,
) -> None:
    """Which spots of a section a spot attends to, by a model that a run kept (--keep model)."""
    import tempfile

    from stbench.datasets import DatasetContext
    from stbench.errors import UsageError
    from stbench.execution.kept import held_out_slide, kept_model
    from stbench.models import Attentive, Context
    from stbench.report.plots.attention import attention_maps, central_spot, pick, write_attention
    from stbench.report.plots.style import save
    from stbench.slides import cache

    run, record, name = _choose(store, dataset, protocol, model).kept(slide)
    shown_slide = held_out_slide(record.cell, name, DatasetContext(cache.root(), data_dir))
    names = list(shown_slide.adata.obs_names)
    if spot is not None and spot not in names:
        raise UsageError(f"slide {name} has no spot {spot!r}; it has {names[0]}, {names[1]}, …")
    looking = central_spot(shown_slide) if spot is None else names.index(spot)
    with tempfile.TemporaryDirectory() as work:
        context = Context(record.cell.seed or 0, "cpu", Path(work), cache.root(), record.cell.precision)  # type: ignore[arg-type]
        fitted = kept_model(run, record.cell, context)
        if not isinstance(fitted, Attentive):
            raise UsageError(f"{record.cell.model} shows no attention; a model that does has a method `attention`")
        shown = pick(fitted.attention(shown_slide, looking), layer or (), head or ())
    if out.suffix == ".csv":
        write_attention(shown_slide, shown, out)
    else:
        save(attention_maps(shown_slide, looking, shown, columns=min(4, max(1, len(head or ())))), out)


@app.command()
def intervals(
    out: OutOption,
    metric: MetricOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    model: ModelsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Mean and interval of each model, those not told from the best shaded."""
    from stbench.report.plots.scores import intervals as draw
    from stbench.report.plots.style import save

    chosen = _choose(store, dataset, protocol, model)
    name = chosen.metric(metric)
    save(draw(chosen.entries(name), chosen.task["metrics"][name]["references"], name), out)


@app.command()
def cost(
    out: OutOption,
    against: Annotated[
        str, typer.Option(help="fit_seconds, predict_seconds, peak_memory_mb, peak_gpu_memory_mb or n_parameters.")
    ] = "fit_seconds",
    metric: MetricOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    model: ModelsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Accuracy against what it costs."""
    from stbench.errors import UsageError
    from stbench.report.plots.scores import COSTS
    from stbench.report.plots.scores import cost as draw
    from stbench.report.plots.style import save

    if against not in COSTS:
        raise UsageError(f"--against {against!r} is none of {', '.join(COSTS)}")
    chosen = _choose(store, dataset, protocol, model)
    name = chosen.metric(metric)
    save(draw(chosen.entries(name), against, name), out)


@app.command()
def genes(
    out: OutOption,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    model: ModelsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Distribution of Pearson's r over genes."""
    from stbench.report.breakdown import breakdown
    from stbench.report.plots.scores import genes as draw
    from stbench.report.plots.style import save
    from stbench.report.variants import variant_key

    chosen = _choose(store, dataset, protocol, model)
    task = (chosen.task["dataset"], chosen.task["protocol"])
    values: dict[str, list[float]] = {key: [] for key in chosen.names}
    for row in breakdown(chosen.store, chosen.scores, "gene", "pcc"):
        if (row["dataset"], row["protocol"]) == task and (key := variant_key(row)) in values:
            values[key].append(row["value"])
    save(draw(list(chosen.names.values()), list(values.values())), out)


@app.command()
def slides(
    out: OutOption,
    metric: MetricOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    model: ModelsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """A metric on every slide, a line per model."""
    from stbench.report.plots.scores import slides as draw
    from stbench.report.plots.style import save

    chosen = _choose(store, dataset, protocol, model)
    name = chosen.metric(metric)
    frame = chosen.slide_values(name)
    found = {(variant, slide): value for variant, slide, value in frame.select("variant", "slide", "value").iter_rows()}
    ids = list(dict.fromkeys(frame["slide"]))
    rows = [[_or_nan(found.get((key, slide))) for slide in ids] for key in chosen.names]
    save(draw(list(chosen.names.values()), ids, rows, name), out)


def _choose(store: Path, dataset: str | None, protocol: str | None, models: list[str] | None) -> Choice:
    from stbench.cli.options import warn_of_broken_plugins
    from stbench.registry import discover
    from stbench.report.plots.choice import choose
    from stbench.store import Store

    warn_of_broken_plugins()
    return choose(Store(store), discover(), dataset, protocol, models or ())


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
