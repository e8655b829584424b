"""Models that runs kept (``--keep model``), and the slides they were tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stbench.datasets import DatasetContext
from stbench.errors import DataError, UsageError
from stbench.execution.prepare import load_parts, load_protocol, open_dataset
from stbench.matrix import Cell
from stbench.models import Context, Model, Savable
from stbench.registry import discover
from stbench.slides import Slide

FOLDER = "model"
"""Of a run: where its model is."""


def kept_model(run: Path, cell: Cell, context: Context) -> Model[Any]:
    """The fitted model of a run, ready to predict.

    Parameters
    ----------
    run
        The run's folder.

    Raises
    ------
    UsageError
        The run kept no model, or its plugin is not installed.
    DataError
        What was kept cannot be loaded.
    """
    from safetensors import SafetensorError

    require_kept(run)
    spec = discover().get("model", f"{cell.model_distribution}:{cell.model}").spec
    model: Model[Any] = spec.load()(spec.load_params().model_validate(cell.params), context)
    if not isinstance(model, Savable):
        raise UsageError(f"{cell.model} cannot load what it kept: the installed version has no save and load")
    try:
        model.load(run / FOLDER)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"{run / FOLDER} cannot be loaded ({error}); run the cell again with --fresh") from error
    return model


def require_kept(run: Path) -> None:
    """Raise `UsageError` for a run that kept no model."""
    if not (run / FOLDER).is_dir():
        raise UsageError(f"run {run.name} kept no model; run the cell again with --keep model --fresh")


def kept_panel(run: Path) -> list[str]:
    """Genes that a run's model predicts, in its order.

    Raises
    ------
    DataError
        The run's moments, which list them, are damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        genes = pq.read_table(run / "moments.parquet", columns=["gene"])["gene"].to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{run / 'moments.parquet'} cannot be read ({error}); run the cell again with --fresh"
        ) from error
    return list(dict.fromkeys(genes))


def held_out_slide(cell: Cell, slide: str, context: DatasetContext) -> Slide:
    """A test part of a cell as its model was shown it: filtered and cut, without expression.

    Raises
    ------
    DataError
        The data are not here, or not what they were.
    UsageError
        A slide that the cell does not test.
    """
    registry = discover()
    dataset = open_dataset(cell, registry, context)
    parts = load_parts(cell.fold, load_protocol(cell, registry), dataset, ("test",)).test
    found = [part for part in parts if part.info.id == slide]
    if not found:
        raise UsageError(f"{cell} does not test slide {slide!r}")
    return found[0].without_expression()
