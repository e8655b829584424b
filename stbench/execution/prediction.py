"""Predicting an image that has no expression with a model that a run kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stbench import __version__
from stbench.errors import UsageError
from stbench.execution.blocks import in_blocks
from stbench.execution.kept import kept_model, kept_panel, require_kept
from stbench.execution.new_slide import Spots, grid_slide, open_source, points_slide, scale_of
from stbench.execution.predicted import checked_blocks
from stbench.execution.predicted_h5ad import require_new, write_h5ad
from stbench.execution.predictor import seed_everything, torch_device
from stbench.models import Context
from stbench.store import Layout, RunRecord
from stbench.store.symbols import gene_symbols

NEAR = 3
"""Genes named for one that is not there."""


@dataclass(frozen=True)
class Wanted:
    """What is to be predicted.

    Attributes
    ----------
    image
        The H&E image.
    mpp
        µm per pixel; None: as the image says.
    spot_um, pitch_um
        Size and distance of spots; None: those of the run's slides.
    points
        CSV with columns x and y in pixels; None: a grid.
    genes
        Names or symbols; empty: all of the panel.
    masked
        Only where tissue is; does not hold for points.
    """

    image: Path
    mpp: float | None = None
    spot_um: float | None = None
    pitch_um: float | None = None
    points: Path | None = None
    genes: tuple[str, ...] = ()
    masked: bool = True


@dataclass(frozen=True)
class Progress:
    """Who is told how far it is.

    Attributes
    ----------
    begin
        Called with the number of spots.
    advance
        Called with the number of spots that were done.
    step
        Called with what the model counts, how many are done and of how many.
    """

    begin: Callable[[int], None]
    advance: Callable[[int], None]
    step: Callable[[str, int, int], None]


def predict_image(
    layout: Layout,
    run: tuple[Path, RunRecord],
    wanted: Wanted,
    out: Path,
    cache_dir: Path,
    device: str,
    progress: Progress,
) -> dict[str, Any]:
    """Predict an image into an h5ad; returns what is said of it.

    Parameters
    ----------
    run
        Folder and record.

    Raises
    ------
    UsageError, DataError
        The run kept no model; the image, its scale, its tissue, the points or a gene are not there.
    """
    folder, record = run
    cell = record.cell
    require_kept(folder)
    require_new(out)
    panel = kept_panel(folder)
    symbols = gene_symbols(layout, [test.truth_key for test in record.test])
    columns = pick_genes(panel, symbols, wanted.genes)
    source = open_source(wanted.image, cache_dir)
    scale = scale_of(source, wanted.mpp)
    spots = Spots.of_run(layout, record, wanted.spot_um, wanted.pitch_um)
    if wanted.points:
        slide = points_slide(source, scale, spots, wanted.points)
    else:
        slide = grid_slide(source, scale, spots, wanted.masked)
    facts = {
        "run": record.run_id,
        "cell": record.cell_key,
        "model": cell.model,
        "dataset": cell.dataset,
        "protocol": cell.protocol,
        "image": str(wanted.image),
        "image_sha256": source.digest,
        "mpp": scale[0],
        "mpp_source": scale[1],
        "grid": slide.info.grid,
        "spot_um": spots.um,
        "pitch_um": spots.pitch_um,
        "tissue_mask": wanted.masked and wanted.points is None,
        "version": __version__,
    }
    with tempfile.TemporaryDirectory() as work:
        seed = cell.seed or 0
        seed_everything(seed)
        context = Context(
            seed=seed,
            device=torch_device(device),
            work_dir=Path(work),
            cache_dir=cache_dir,
            precision=cell.precision,  # type: ignore[arg-type]
            progress=progress.step,
        )
        model = kept_model(folder, cell, context)
        progress.begin(slide.n_spots)
        prediction = in_blocks(model, slide) if model.pointwise else model.predict(slide)
        blocks = checked_blocks(prediction, slide, len(panel))
        chosen = {panel[i]: symbols.get(panel[i], panel[i]) for i in columns}
        write_h5ad(out, slide, chosen, columns, blocks, facts, progress.advance)
    return {"file": str(out), "spots": slide.n_spots, "genes": len(columns), **facts}


def pick_genes(panel: Sequence[str], symbols: dict[str, str], asked: Sequence[str]) -> list[int]:
    """Places in the panel of the genes asked for, by name or symbol; of all if none is.

    Raises
    ------
    UsageError
        A gene that the model does not predict.
    """
    places = {symbols[gene]: i for i, gene in enumerate(panel) if gene in symbols}
    places |= {gene: i for i, gene in enumerate(panel)}
    for name in asked:
        if name not in places:
            upper = {known.upper(): known for known in places}
            near = [upper[match] for match in get_close_matches(name.upper(), upper, NEAR)]
            hint = f"did you mean {', '.join(near)}?" if near else f"it predicts {panel[0]} and {len(panel) - 1} others"
            raise UsageError(f"the model does not predict gene {name!r}; {hint}")
    return list(dict.fromkeys(places[name] for name in asked)) or list(range(len(panel)))
