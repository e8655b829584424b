"""``stbench data``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stbench.cli.options import DataDirOption, Format, FormatOption, warn_of_broken_plugins

if TYPE_CHECKING:
    from stbench.datasets import Dataset, DatasetContext
    from stbench.registry import Registry

app = typer.Typer(help="Datasets: what is here, where it comes from, your own slides.", no_args_is_help=True)

NamesArgument = Annotated[list[str] | None, typer.Argument(help="Datasets; default: all.")]


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Folder of slides, or one .h5ad file.")],
    name: Annotated[str, typer.Option("--as", help="Name of the dataset: -d NAME finds it.")],
    patient: Annotated[str, typer.Option(help="Patient of all slides; or a slides.csv in the folder.")] = "",
    organ: Annotated[str, typer.Option(help="Organ of all slides.")] = "",
    species: Annotated[str, typer.Option(help="Species of all slides.")] = "",
    technology: Annotated[str, typer.Option(help="Technology of all slides.")] = "",
    mpp: Annotated[float | None, typer.Option(min=0.01, help="µm per pixel of the images.")] = None,
    image: Annotated[Path | None, typer.Option(help="Image of the one slide there is.")] = None,
    swap_xy: Annotated[bool, typer.Option("--swap-xy", help="The files give y before x.")] = False,
    output: FormatOption = Format.TABLE,
) -> None:
    """Make a dataset of your own slides; the files stay where they are."""
    from stbench.datasets import DatasetContext, definition
    from stbench.datasets.imported import Imported
    from stbench.datasets.importing import Stated, understand
    from stbench.registry import discover
    from stbench.report.console import print_json, print_table
    from stbench.report.thumbnails import contact_sheet
    from stbench.slides import cache

    _refuse_taken(name, discover().all("dataset"))
    stated = Stated(patient, organ, species, technology, mpp, image, swap_xy)
    defined, slides = understand(folder, name, stated, cache.root())
    path = definition.write(defined)
    dataset = Imported(DatasetContext(cache.root()), path)
    usable = [dataset.load(info.id) for info in dataset.slides() if info.has_image]
    picture = path.with_suffix(".png")
    if usable:
        contact_sheet(usable, picture)
    rows = [_describe(slide, info) for slide, info in zip(slides, dataset.slides(), strict=True)]
    if output is Format.JSON:
        print_json({"definition": str(path), "thumbnails": str(picture) if usable else None,
                    "default_protocol": defined.default_protocol, "slides": rows})  # fmt: skip
        return
    print_table(list(rows[0])[:-1], [list(row.values())[:-1] for row in rows], title=f"{name}: {len(rows)} slides")
    for row in rows:
        for note in row["notes"]:
            print(f"note: {row['slide']}: {note}")
    print(f"definition: {path}")
    if usable:
        print(f"thumbnails with spots: {picture}")
    print(f"default protocol: {defined.default_protocol}; run: stbench run -m mean -m ridge -d {name}")


def _refuse_taken(name: str, datasets: list[Any]) -> None:
    from stbench.errors import UsageError

    for registered in datasets:
        if registered.spec.name == name and not registered.spec.definition:
            raise UsageError(
                f"--as {name}: {registered.distribution} already offers a dataset of this name; choose another"
            )


def _describe(slide: Any, info: Any) -> dict[str, Any]:
    adata = slide.section.adata
    return {
        "slide": info.id,
        "layout": slide.definition.layout,
        "patient": info.patient,
        "spots": adata.n_obs,
        "genes": adata.n_vars,
        "µm/px": None if info.mpp is None else round(info.mpp, 4),
        "from": info.mpp_source,
        "in tissue": f"{adata.obs['in_tissue'].astype(bool).mean():.0%}" if "in_tissue" in adata.obs else None,
        "regions": adata.obs["region"].nunique() if "region" in adata.obs else None,
        "image": "yes" if info.has_image else info.image_missing,
        "notes": slide.notes,
    }


@app.command("status")
def status(names: NamesArgument = None, data_dir: DataDirOption = None, output: FormatOption = Format.TABLE) -> None:
    """Say of each dataset what is here, what is missing and where it would come from."""
    from stbench.report.console import print_json, print_table

    registry, context = _offered(data_dir)
    rows = [
        {"dataset": name, **_state(registry.get("dataset", name).spec, context)}
        for name in names or registry.names("dataset")
    ]
    if output is Format.JSON:
        print_json(rows)
        return
    print_table(list(rows[0]), [list(row.values()) for row in rows])


def _state(spec: Any, context: Any) -> dict[str, Any]:
    """What there is to say of one dataset; what is wrong with it, in its row."""
    from stbench.errors import StbenchError

    row: dict[str, Any] = dict.fromkeys(("from", "folder", "state", "slides", "without image", "revision"))
    try:
        dataset = spec.open(context)
        folder, row["from"] = dataset.locate(), dataset.source
        if folder is None:
            return row | {"state": "not here"}
        slides = dataset.slides()
        missing = [slide.id for slide in slides if not slide.has_image]
        return row | {
            "folder": str(folder),
            "state": "here",
            "slides": len(slides),
            "without image": ", ".join(missing) or None,
            "revision": dataset.revision,
        }
    except StbenchError as error:
        return row | {"state": str(error)}


@app.command("fetch")
def fetch(names: Annotated[list[str], typer.Argument(help="Datasets.")]) -> None:
    """Download datasets into the cache: resumed, retried, checksums recorded."""
    for name, dataset in _datasets(names, None):
        print(f"{name}: {dataset.fetch()}")


@app.command("verify")
def verify(names: NamesArgument = None, data_dir: DataDirOption = None) -> None:
    """Compare every file with the checksum recorded when it was first seen; exit code 1 if one differs."""
    from stbench.datasets.checksums import verify as compare
    from stbench.slides import cache

    bad = 0
    for name, dataset in _datasets(names, data_dir):
        if not names and not dataset.locate():
            continue
        report = compare(name, dataset, cache.root())
        bad += len(report.changed) + len(report.missing)
        for what in ("changed", "missing"):
            for file in getattr(report, what):
                print(f"{name}: {what}: {file}")
        print(f"{name}: {report.same} files as recorded, {report.new} recorded now")
    if bad:
        raise typer.Exit(1)


def _datasets(names: list[str] | None, data_dir: Path | None) -> list[tuple[str, Dataset]]:
    registry, context = _offered(data_dir)
    return [(name, registry.get("dataset", name).spec.open(context)) for name in names or registry.names("dataset")]


def _offered(data_dir: Path | None) -> tuple[Registry, DatasetContext]:
    from stbench.datasets import DatasetContext
    from stbench.registry import discover
    from stbench.slides import cache

    warn_of_broken_plugins()
    return discover(), DatasetContext(cache.root(), data_dir)
