"""Predicting an image that has no expression with a model that a run kept: spots, or a dense map."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stbench import __version__
from stbench.errors import PredictionError, StbenchError, UsageError
from stbench.execution.blocks import in_blocks
from stbench.execution.dense import require_writable, write_dense
from stbench.execution.kept import kept_model, kept_panel, require_kept
from stbench.execution.new_slide import Spots, bare_slide, grid_slide, open_source, points_slide, scale_of
from stbench.execution.predicted import checked_blocks
from stbench.execution.predicted_h5ad import require_new, write_h5ad
from stbench.execution.predictor import seed_everything, torch_device
from stbench.models import Context, Dense, DenseMap, DenseTile, Model, Prediction
from stbench.slides import Slide
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
    dense
        A map of the whole image instead of spots.
    """

    image: Path
    mpp: float | None = None
    spot_um: float | None = None
    pitch_um: float | None = None
    points: Path | None = None
    genes: tuple[str, ...] = ()
    masked: bool = True
    dense: bool = False


@dataclass(frozen=True)
class Progress:
    """Who is told how far it is.

    Attributes
    ----------
    begin
        Called with what is predicted (``spots``) and how many.
    advance
        Called with how many were done.
    step
        Called with what the model counts, how many are done and of how many.
    note
        Called with what the model reports.
    """

    begin: Callable[[str, int], None]
    advance: Callable[[int], None]
    step: Callable[[str, int, int], None]
    note: Callable[[str], None]


def predict_image(
    layout: Layout,
    run: tuple[Path, RunRecord],
    wanted: Wanted,
    out: Path,
    cache_dir: Path,
    device: str,
    progress: Progress,
) -> dict[str, Any]:
    """Predict an image into an h5ad, or a dense map of it; returns what is said of it.

    Parameters
    ----------
    run
        Folder and record.

    Raises
    ------
    UsageError, DataError
        The run kept no model, or one without dense maps; the image, its scale, its tissue, the points or a gene are not
        there.
    PredictionError
        The model fails, or predicts what is no prediction.
    """
    folder, record = run
    cell = record.cell
    require_kept(folder)
    (require_writable if wanted.dense else require_new)(out)
    panel = kept_panel(folder)
    symbols = gene_symbols(layout, [test.truth_key for test in record.test])
    columns = pick_genes(panel, symbols, wanted.genes)
    chosen = {panel[i]: symbols.get(panel[i], panel[i]) for i in columns}
    source = open_source(wanted.image, cache_dir)
    scale = scale_of(source, wanted.mpp)
    spots = Spots.of_run(layout, record, wanted.spot_um, wanted.pitch_um)
    if wanted.dense:
        slide = bare_slide(source, scale, spots)
    elif wanted.points:
        slide = points_slide(source, scale, spots, wanted.points)
    else:
        slide = grid_slide(source, scale, spots, wanted.masked)
    facts: dict[str, Any] = {
        "run": record.run_id,
        "cell": record.cell_key,
        "model": cell.model,
        "dataset": cell.dataset,
        "protocol": cell.protocol,
        "image": str(wanted.image),
        "image_sha256": source.digest,
        "mpp": scale[0],
        "mpp_source": scale[1],
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
            report=progress.note,
            progress=progress.step,
        )
        model = kept_model(folder, cell, context)
        with _one_sentence(cell.model, wanted.image):
            if wanted.dense:
                if not isinstance(model, Dense):
                    raise UsageError(f"{cell.model} makes no dense maps; leave out --dense")
                dense = model.dense(slide, columns)
                rows, width = dense.shape
                facts |= {"rows": rows, "columns": width, "pixel_um": dense.pixel_um}
                write_dense(out, _counted(dense, progress), list(chosen.values()))
            else:
                facts |= {
                    "spots": slide.n_spots,
                    "grid": slide.info.grid,
                    "spot_um": spots.um,
                    "pitch_um": spots.pitch_um,
                    "tissue_mask": wanted.masked and wanted.points is None,
                }
                progress.begin("spots", slide.n_spots)
                blocks = checked_blocks(_asked(model, slide), slide, len(panel))
                write_h5ad(out, slide, chosen, columns, blocks, facts, progress.advance)
    return {"file": str(out), "genes": len(columns), **facts}


def _asked(model: Model[Any], slide: Slide) -> Prediction:
    return in_blocks(model, slide) if model.pointwise else model.predict(slide)


def _counted(dense: DenseMap, progress: Progress) -> DenseMap:
    """Tell how many pixels of a map are made as its tiles go by."""

    def tiles() -> Iterator[DenseTile]:
        progress.begin("pixels", dense.shape[0] * dense.shape[1])
        for tile in dense.tiles:
            yield tile
            progress.advance(tile.values[0].size)

    return replace(dense, tiles=tiles())


@contextmanager
def _one_sentence(model: str, image: Path) -> Iterator[None]:
    """What a plugin raises, as an error of its own; what stbench and the disk say stays."""
    try:
        yield
    except (StbenchError, OSError):
        raise
    except Exception as error:
        kind = type(error).__name__
        raise PredictionError(f"{model} failed on {image}: {kind}: {error}; tell the plugin's authors") from error


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
