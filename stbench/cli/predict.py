"""``stbench predict``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, Format, FormatOption, StoreOption

if TYPE_CHECKING:
    from stbench.execution.prediction import Progress


def predict(
    run: Annotated[str, typer.Argument(help="Run id or cell key, or the beginning of one; it ran with --keep model.")],
    image: Annotated[Path, typer.Option("--image", help="H&E image: TIFF (OME, pyramids), JPEG or PNG.")],
    mpp: Annotated[float | None, typer.Option(help="µm per pixel; default: as the image file says.")] = None,
    pitch_um: Annotated[
        float | None, typer.Option(help="Distance of spots; default: that of the run's slides.")
    ] = None,
    points: Annotated[
        Path | None, typer.Option(help="CSV with columns x and y in pixels, instead of a grid; all are predicted.")
    ] = None,
    spot_um: Annotated[float | None, typer.Option(help="Size of a spot; default: that of the run's slides.")] = None,
    genes: Annotated[str | None, typer.Option(help="Names or symbols, G1,G2,…; default: all of the panel.")] = None,
    tissue_mask: Annotated[
        bool, typer.Option("--tissue-mask/--no-tissue-mask", help="Predict the grid where tissue is, or everywhere.")
    ] = True,
    dense: Annotated[
        bool, typer.Option("--dense", help="A map of the whole image (.ome.tif, .zarr) instead of spots.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write; default: the image's name with .h5ad or .ome.tif, here."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    store: StoreOption = DEFAULT_STORE,
    output: FormatOption = Format.TABLE,
) -> None:
    """Expression for an image that has none, by a model that a run kept: an h5ad for scanpy and squidpy, or a map."""
    from stbench.cli.options import parse_device, warn_of_broken_plugins
    from stbench.errors import UsageError
    from stbench.execution.prediction import Wanted, predict_image
    from stbench.report.console import print_json
    from stbench.slides import cache
    from stbench.store import Store

    warn_of_broken_plugins()
    device = parse_device(device)
    if dense and (pitch_um or spot_um or points):
        raise UsageError("--dense maps the whole image; leave out --pitch-um, --spot-um and --points")
    opened = Store(store)
    names = tuple(name.strip() for name in (genes or "").split(",") if name.strip())
    wanted = Wanted(image, mpp, spot_um, pitch_um, points, names, tissue_mask, dense)
    target = out or Path(f"{image.stem}{'.ome.tif' if dense else '.h5ad'}")
    with _bar(quiet=output is Format.JSON) as progress:
        said = predict_image(opened.layout, opened.find(run), wanted, target, cache.root(), device, progress)
    if output is Format.JSON:
        print_json(said)
        return
    if dense:
        what = f"{said['rows']:,} × {said['columns']:,} pixels of {said['pixel_um']:g} µm"
    elif points:
        what = f"{said['spots']:,} points of {points}"
    else:
        what = f"{said['spots']:,} spots on a {said['grid']} grid of {said['pitch_um']:g} µm"
    print(f"{what} × {said['genes']:,} genes by {said['model']} in {target}")


@contextmanager
def _bar(quiet: bool) -> Iterator[Progress]:
    """Show what the model reports, and on a terminal how many spots are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from stbench.execution.prediction import Progress

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        counted = ""

        def begin(what: str, total: int) -> None:
            nonlocal counted
            counted = what
            bar.update(task, total=total, description=what)

        def advance(done: int) -> None:
            bar.update(task, advance=done, description=counted)

        def step(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{counted} ({what} {done}/{total})")

        def note(message: str) -> None:
            if not quiet:
                console.print(message, style="dim", markup=False, highlight=False)

        yield Progress(begin, advance, step, note)
