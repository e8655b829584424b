"""``stbench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stbench.cli.options import DEFAULT_STORE, DataDirOption, StoreOption, warn_of_broken_plugins


def report(
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder of the page; made when needed.")],
    slides: Annotated[int, typer.Option(min=0, help="Slides of each task to draw.")] = 6,
    genes: Annotated[int, typer.Option(min=1, help="Genes of each slide to draw.")] = 24,
    gene: Annotated[list[str] | None, typer.Option(help="Gene that is always drawn; repeatable.")] = None,
    models: Annotated[int, typer.Option(min=1, help="Best ranked models of each task to draw.")] = 6,
    image_px: Annotated[int, typer.Option(min=100, help="Longer side of an H&E image.")] = 1000,
    store: StoreOption = DEFAULT_STORE,
    data_dir: DataDirOption = None,
) -> None:
    """Write one self-contained page: leaderboard, intervals, ranks, cost, genes, maps, regions, leaks, failures."""
    from stbench.datasets import DatasetContext
    from stbench.errors import UsageError
    from stbench.registry import discover
    from stbench.report.page import Limits, page_content, render
    from stbench.slides import cache
    from stbench.store import Store

    warn_of_broken_plugins()
    context = DatasetContext(cache.root(), data_dir)
    limits = Limits(slides, genes, models, image_px, tuple(gene or ()))
    content = page_content(Store(store), discover(), context, limits)
    page = folder / "index.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        page.write_text(render(content), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"-o {folder} cannot be written ({error.strerror}); give another folder") from error
    for note in content["about"]["left_out"]:
        print(f"left out: {note}")
    print(f"{page}: {page.stat().st_size / 1e6:.1f} MB")
