"""Predictions as an AnnData file that scanpy and squidpy plot over its image, written some spots at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stbench.errors import UsageError
from stbench.models.contract import PredictionBlock
from stbench.slides import Slide, cache
from stbench.slides.averaged import averaged
from stbench.slides.regions import SlideImage

HIRES_PX, LOWRES_PX = 2000, 600
"""About the longer side of the two pictures of the image."""


def require_new(path: Path) -> None:
    """Raise `UsageError` for a file that must not be written."""
    if path.suffix != ".h5ad":
        raise UsageError(f"-o {path} does not end in .h5ad; give the file such a name")
    if path.exists():
        raise UsageError(f"-o {path} is there already; give another name or remove it")


def write_h5ad(
    path: Path,
    slide: Slide,
    genes: Mapping[str, str],
    columns: Sequence[int],
    blocks: Iterable[PredictionBlock],
    facts: Mapping[str, Any],
    advance: Callable[[int], None],
) -> None:
    """Write predictions of a slide; the file is there when it is complete.

    Parameters
    ----------
    genes
        Symbol of each gene that is written.
    columns
        Where the blocks hold these genes.
    facts
        Where the values come from: ``uns["stbench"]``.
    advance
        Called with the number of spots written.

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    import h5py

    require_new(path)
    try:
        partial = cache.temporary(path)
        try:
            with h5py.File(partial, "w") as file:
                file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
                _write_around(file, slide, genes, facts)
                _write_values(file, (slide.n_spots, len(genes)), list(columns), blocks, advance)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"-o {path} cannot be written ({error})") from error


def _write_values(
    file: Any,
    shape: tuple[int, int],
    columns: list[int],
    blocks: Iterable[PredictionBlock],
    advance: Callable[[int], None],
) -> None:
    mean, std = _matrix(file, "X", shape), None
    for rows, values, deviations in blocks:
        mean[rows] = values[:, columns]
        if deviations is not None:
            std = std or _matrix(file, "layers/std", shape)
            std[rows] = deviations[:, columns]
        advance(rows.stop - rows.start)


def _matrix(file: Any, name: str, shape: tuple[int, int]) -> Any:
    matrix = file.create_dataset(name, shape, np.float32, fillvalue=np.nan)
    matrix.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return matrix


def _write_around(file: Any, slide: Slide, genes: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Write everything but the values."""
    import pandas as pd
    from anndata.io import write_elem

    obs = slide.adata.obs.copy()
    obs[["x_um", "y_um"]] = slide.centers_px * slide.mpp
    images, factors = _pictures(slide.image)
    scales = factors | {"spot_diameter_fullres": slide.info.spot_um / slide.mpp}
    parts = {
        "obs": obs,
        "var": pd.DataFrame({"symbol": list(genes.values())}, index=pd.Index(list(genes))),
        "obsm": {"spatial": slide.centers_px},
        "uns": {"spatial": {slide.info.id: {"images": images, "scalefactors": scales}}, "stbench": dict(facts)},
    }
    for name in ("obs", "var", "obsm", "uns", "varm", "obsp", "varp", "layers"):
        write_elem(file, name, parts.get(name, {}))


def _pictures(image: SlideImage) -> tuple[dict[str, NDArray[np.uint8]], dict[str, float]]:
    """Two pictures of an image, and pixels of each per pixel of the image."""
    images, factors = {}, {}
    for name, side in (("hires", HIRES_PX), ("lowres", LOWRES_PX)):
        colours, px = averaged(image, math.ceil(max(image.size) / side))
        width, height = (max(1, int(length / px)) for length in image.size)  # without the darkened edge
        images[name] = colours[:height, :width].round().astype(np.uint8)
        factors[f"tissue_{name}_scalef"] = 1 / px
    return images, factors
